"""Contrastive loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots, symmetric
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.functional.safe import safe_pow
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

    default_distance: ClassVar[Callable[[], Distance]] = LpDistance
    default_reducer = AvgNonZeroReducer

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

    @symmetric
    def terms(self, batch: Batch) -> Terms:
        """`pos_loss`, `[A, K]`, and `neg_loss`, `[A, M]`."""
        d = self.distance.between(batch)
        near, valid = self.distance.to_positives(batch, d)
        pull = self._hinge(self.distance.margin(near, self.pos_margin), self.pos_margin)
        push = self._hinge(self.distance.margin(self.neg_margin, d), self.neg_margin)
        return {
            "pos_loss": Term(pull, valid, kind="pos_pair"),
            "neg_loss": Term(push, batch.negatives, kind="neg_pair"),
        }

    def _hinge(self, excess: Tensor, margin: float) -> Tensor:
        """What of an excess over a margin is positive.

        0 up to rounding: which pairs cost something, the reducer counts; a zero row is 1 from each of unit norm.
        """
        least = RESOLUTION * torch.finfo(excess.dtype).eps * abs(margin)
        return safe_pow(torch.nn.functional.threshold(excess, least, 0.0), self.power)
