"""Intra-pair variance loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots, symmetric
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity


class IntraPairVarianceLoss(Loss):
    r"""Brings pairs that are worse than the mean of their kind near to it; beside another loss.

    $$\ell^+ = \left[ (1 - \varepsilon^+) \mu^+ - s(a, p) \right]_+^2 \qquad
      \ell^- = \left[ s(a, n) - (1 + \varepsilon^-) \mu^- \right]_+^2$$

    The means mu are over all positive pairs and over all negative pairs of the batch. Of distances, those of positives
    are to stay under 1 + pos_eps times their mean, those of negatives over 1 - neg_eps times theirs. Yu and Tao 2019,
    "Deep Metric Learning with Tuplet Margin Loss".

    Args:
        pos_eps: how far from their mean, as a part of it, positives cost nothing; at least 0.
        neg_eps: the same for negatives.
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        pos_eps: Annotated[float, Field(ge=0)] = 0.01,
        neg_eps: Annotated[float, Field(ge=0)] = 0.01,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.pos_eps = pos_eps
        self.neg_eps = neg_eps

    def prepare(self, batch: Batch) -> Batch:
        """The means over all pairs of either kind; and the distances, where there is room for all."""
        if batch.tile is None and type(self).prepare is IntraPairVarianceLoss.prepare:
            batch = batch.replace(per_anchor={"distances": self.distance.between(batch)})
        near, nears, far, fars = batch.map(self._sums).sum(0)
        means = {"positive": near / nears.clamp(min=1), "negative": far / fars.clamp(min=1)}
        return batch.replace(shared=means)

    @symmetric
    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: a value a pair, `[A, K]` and `[A, M]`."""
        d = self._all(batch)
        sign = -1.0 if self.distance.is_inverted else 1.0
        farthest = (1.0 + sign * self.pos_eps) * batch.shared["positive"]
        far, among = self.distance.to_positives(batch, d)
        nearest = (1.0 - sign * self.neg_eps) * batch.shared["negative"]
        pull = Term(self.distance.margin(far, farthest).relu().square(), among, kind="pos_pair")
        push = Term(self.distance.margin(nearest, d).relu().square(), batch.negatives, kind="neg_pair")
        return {"pos_loss": pull, "neg_loss": push}

    def _all(self, batch: Batch) -> Tensor:
        return batch.per_anchor["distances"] if "distances" in batch.per_anchor else self.distance.between(batch)

    def _sums(self, part: Batch) -> Tensor:
        """Of each anchor the sum and the count of its distances to positives, and of those to negatives, `[A, 4]`."""
        d = self._all(part)
        terms = Term(*self.distance.to_positives(part, d)), Term(d, part.negatives)
        found = [of_anchors for term in terms for of_anchors in term.bind("", len(part), None).per_anchor()]
        return torch.stack([of_anchors.to(d.dtype) for of_anchors in found], 1)
