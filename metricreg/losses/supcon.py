"""Supervised contrastive loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import CosineSimilarity
from metricreg.kinds import Distance, Loss, LossSlots, Reducer
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import log_one_plus_exp, masked_logsumexp
from metricreg.reducers import AvgNonZeroReducer
from metricreg.term import Term


class SupConLoss(Loss):
    r"""Mean cross entropy of an anchor's positives against everything else in the batch.

    $$\ell_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log
        \frac{e^{s(a, p) / \tau}}{\sum_{j \in P_a \cup N_a} e^{s(a, j) / \tau}}$$

    An anchor without positives has 0, which the default reducer leaves out. A distance enters with its sign turned.
    A pair that tuples repeat counts once. Khosla et al. 2020, "Supervised Contrastive Learning".

    Args:
        temperature: tau, greater than 0.
    """

    def __init__(self, temperature: Annotated[float, Field(gt=0)] = 0.1, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = temperature

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """The mean over the anchors that cost something."""
        return AvgNonZeroReducer()

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance.closeness(self.distance(batch.anchors, batch.references)) / self.temperature
        positives = batch.positives != 0
        total = positive_cross_entropy(s, positives, batch.negatives != 0)
        return {"loss": Term(total / positives.sum(1).clamp(min=1))}


def positive_cross_entropy(s: Tensor, positives: Tensor, negatives: Tensor, factor: Tensor | None = None) -> Tensor:
    """The cross entropies of each anchor's positives against its positives and negatives, summed: `[A]`.

    Args:
        s: `[A, M]`, similarities over the temperature.
        positives: bool `[A, M]`.
        negatives: bool `[A, M]`.
        factor: `[A, M]`, by which each cross entropy is multiplied; 1 if None.
    """
    if not s.shape[1]:
        return s.sum(1)
    among = positives | negatives
    # The nearest of all, if it is a positive, may have nearly the whole sum to itself: log(1 + rest/it) is exact
    # where the difference of two nearly equal logarithms is not.
    first = s.detach().masked_fill(~among, -torch.inf).argmax(1, keepdim=True)
    top = s.gather(1, first)
    rest = masked_logsumexp(s, among.scatter(1, first, False))[:, None] - top
    excess = log_one_plus_exp(rest)
    others, nearest = excess + (top - s), excess
    if factor is not None:
        others, nearest = others * factor, nearest * factor.gather(1, first)
    others = others.masked_fill(~positives.scatter(1, first, False), 0.0).sum(1)
    return others + nearest.masked_fill(~positives.gather(1, first), 0.0)[:, 0]
