"""Contrastive loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.summed_term import Hinges
from metricreg.batch.terms import Term, TermKind
from metricreg.components import Distance, Loss, LossSlots, Reducer
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.functional.row_sums import summable
from metricreg.functional.safe import raised
from metricreg.reducers import AvgNonZeroReducer

RESOLUTION = 8.0
"""A pair whose distance is within so many rounding errors of its margin costs nothing, as at the margin."""


class ContrastiveLoss(Loss):
    r"""Pulls positive pairs within a margin and pushes negative pairs beyond one.

    $$\ell^+ = \left[ d(a, p) - m^+ \right]_+^{\text{power}} \qquad
      \ell^- = \left[ m^- - d(a, n) \right]_+^{\text{power}}$$

    With a similarity the signs turn: positives above `pos_margin`, negatives below `neg_margin`. Hadsell et al. 2006,
    "Dimensionality Reduction by Learning an Invariant Mapping".

    Args:
        pos_margin: distance under which a positive pair costs nothing.
        neg_margin: distance over which a negative pair costs nothing.
        power: exponent of both, greater than 0; 2 in the paper.
    """

    is_symmetric: ClassVar[bool] = True

    def __init__(
        self,
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        power: Annotated[float, Field(gt=0)] = 1.0,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin
        self.power = power

    @classmethod
    def default_distance(cls) -> Distance:
        """Euclidean, of unit embeddings."""
        return LpDistance()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """The mean over the pairs that cost something."""
        return AvgNonZeroReducer()

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss`, `[A, K]`, and `neg_loss`, `[A, M]`."""
        d = self.distance(batch.anchors, batch.references)
        near, counts = self.distance.of_positives(batch, d)
        return {
            "pos_loss": self._hinges(near, counts, "pos_pair", self.pos_margin, 1.0),
            "neg_loss": self._hinges(d, batch.negatives, "neg_pair", self.neg_margin, -1.0),
        }

    def _hinges(self, d: Tensor, weight: Tensor, kind: TermKind, margin: float, side: float) -> Term:
        """By how much distances are beyond a margin, on one side of it.

        0 up to rounding: which pairs cost something, the reducer counts; a zero row is 1 from each of unit norm.
        """
        d = torch.as_tensor(d)
        least = RESOLUTION * torch.finfo(d.dtype).eps * abs(margin)
        if self.power == 1.0 and self.distance.is_subtracted and summable(weight) and d.shape == weight.shape:
            factor = -self.distance.sign * side
            return Hinges(d, weight, kind, -factor * margin, factor, least)
        excess = self.distance.margin(d, margin) if side > 0.0 else self.distance.margin(margin, d)
        hinges = torch.nn.functional.threshold(excess, least, 0.0)
        return Term(raised(hinges, self.power), weight, kind)
