"""Proxy anchor loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components.loss import Terms
from metricreg.components.proxy_loss import ProxyLoss, ProxySlots, WeightInit
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus, weighted_logsumexp
from metricreg.reducers import DivisorReducer


class ProxyAnchorLoss(ProxyLoss):
    r"""Compares each class proxy, as the anchor, with all embeddings.

    $$\frac{1}{|C^+|} \sum_{c \in C^+} \log \left( 1 + \sum_{x \in X_c^+} e^{-\alpha (s(x, c) - m)} \right)
    + \frac{1}{|C|} \sum_{c \in C} \log \left( 1 + \sum_{x \in X_c^-} e^{\alpha (s(x, c) + m)} \right)$$

    The first sum is over the proxies that have a positive in the batch. Kim et al. 2020, "Proxy Anchor Loss for Deep
    Metric Learning".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in units of the similarity.
        alpha: sharpness, greater than 0.
    """

    default_weight_init: ClassVar[WeightInit] = "kaiming_normal"
    default_distance = CosineSimilarity
    default_reducer = DivisorReducer

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: float = 0.1,
        alpha: Annotated[float, Field(gt=0)] = 32.0,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.margin = margin
        self.alpha = alpha

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the anchors, and the embeddings the references."""
        proxies, classes = self.classes(batch)
        weights = batch.row_weights()
        return Batch(
            anchors=proxies,
            references=batch.references,
            anchor_labels=classes,
            reference_labels=batch.reference_labels,
            shared={} if weights is None else {"weights": weights},
        )

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: a value a proxy, `[C]`."""
        s, scale = self._distances(batch), self.distance.sign * self.alpha
        shift = scale * self.margin
        near, positives = batch.at_positives(s)
        if "weights" in batch.shared:
            some = batch.shared["weights"].any()  # of tuples that list nothing, no embedding counts
            positives, negatives = positives & some, batch.negatives & some
            own, _ = batch.at_positives(batch.shared["weights"][None, :])
            positive = weighted_logsumexp(shift - scale * near + (own - 1.0), positives)
            negative = weighted_logsumexp(shift + scale * s + (batch.shared["weights"] - 1.0), negatives)
        else:
            positive = weighted_logsumexp(near, positives, -scale, shift)
            negative = weighted_logsumexp(s, batch.negatives, scale, shift)
        present = positives.any(1)
        return {
            "pos_loss": Term(softplus(positive), divisor=present.long()),
            "neg_loss": Term(softplus(negative), divisor=torch.ones_like(present, dtype=torch.long)),
        }

    def _distances(self, batch: Batch) -> Tensor:
        """Of the embeddings to the proxies, `[C, N]`."""
        if self.distance.is_symmetric:
            found: Tensor = self.distance.between(batch)
            return found
        turned: Tensor = self.distance(batch.references, batch.anchors)
        return turned.mT
