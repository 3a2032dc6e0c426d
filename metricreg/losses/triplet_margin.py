"""Triplet margin loss."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import HingeTriplets, Term
from metricreg.batch.tuples import Triplets
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.engine.execution import tile_values
from metricreg.functional.logsumexp import softplus
from metricreg.functional.safe import safe_pow
from metricreg.reducers import AvgNonZeroReducer


class TripletMarginLoss(Loss):
    r"""Wants each positive nearer to the anchor than each negative, by a margin.

    $$\ell = \left[ d(a, p) - d(a, n) + m \right]_+^{\text{power}}$$

    All triplets of a batch are meant unless tuples, a miner or `triplets_per_anchor` say otherwise. The plain hinge is
    summed without listing them, in O(A M log K). Weinberger and Saul 2009, "Distance Metric Learning for Large Margin
    Nearest Neighbor Classification".

    Args:
        margin: m, in units of the distance.
        swap: use the negative's distance to the positive where it is nearer than to the anchor.
        smooth: softplus in place of the hinge.
        power: exponent of the loss of a triplet, greater than 0.
        triplets_per_anchor: how many random triplets to draw for each anchor, or `"all"`.
    """

    default_distance = LpDistance
    default_reducer = AvgNonZeroReducer

    def __init__(
        self,
        margin: float = 0.05,
        swap: bool = False,
        smooth: bool = False,
        power: Annotated[float, Field(gt=0)] = 1.0,
        triplets_per_anchor: Annotated[int, Field(gt=0)] | Literal["all"] = "all",
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.margin = margin
        self.swap = swap
        self.smooth = smooth
        self.power = power
        self.triplets_per_anchor = triplets_per_anchor

    def prepare(self, batch: Batch) -> Batch:
        """Draw random triplets, if only some are wanted and none are given."""
        if batch.selection is not None or self.triplets_per_anchor == "all":
            return batch
        return batch.replace(selection=random_triplets(batch, int(self.triplets_per_anchor)))

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        d = self.distance.between(batch)
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            to_negative = d[rows, negative]
            if self.swap:
                swapped = self.distance.pairwise(batch.references[positive], batch.references[negative])
                to_negative = self.distance.nearest(to_negative, swapped)
            violation = self.distance.margin(d[rows, positive], to_negative) + self.margin
            return {"loss": Term(self._cost(violation), kind="triplet", rows=rows)}
        index, counts = batch.positive_index
        to_positive = d.gather(1, index)
        if self._is_plain_hinge:
            sign = self.distance.sign
            return {"loss": HingeTriplets(self.margin - sign * to_positive, counts, sign * d, batch.negatives)}
        to_negative = d[:, None, :]
        if self.swap:
            swapped = self.distance(batch.references[index.flatten()], batch.references)
            to_negative = self.distance.nearest(to_negative, swapped.unflatten(0, index.shape))
        violation = self.distance.margin(to_positive[:, :, None], to_negative) + self.margin
        return {"loss": Term(self._cost(violation), counts[:, :, None] * batch.negatives[:, None, :], kind="triplet")}

    def width(self, batch: Batch) -> int:
        """M values an anchor where the hinges are summed unlisted, K · M where each triplet is made."""
        references = len(batch.references)
        if isinstance(batch.selection, Triplets) or (self._is_plain_hinge and not self.reducer.reads_values):
            return references
        return references * max(1, batch.positive_index[0].shape[1])

    @property
    def _is_plain_hinge(self) -> bool:
        return not (self.swap or self.smooth) and self.power == 1.0

    def _cost(self, violation: Tensor) -> Tensor:
        cost = softplus(violation) if self.smooth else violation.relu()
        return safe_pow(cost, self.power)


def random_triplets(batch: Batch, each: int) -> Triplets:
    """`each` triplets an anchor that has a positive and a negative, both drawn uniformly, with replacement.

    In the memory of a tile of anchors.
    """
    size = max(1, tile_values(batch.anchors) // max(len(batch.references), 1))
    parts = [_drawn(batch.rows(i, j), each).offset_anchors(i).columns() for i, j in batch.tiles(size)]
    return Triplets(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _drawn(batch: Batch, each: int) -> Triplets:
    positives, negatives = batch.positives, batch.negatives
    rows = (positives.any(1) & negatives.any(1)).nonzero()[:, 0]
    if not len(rows):
        return Triplets(rows, rows, rows)
    positive = torch.multinomial(positives[rows].float(), each, replacement=True).flatten()
    negative = torch.multinomial(negatives[rows].float(), each, replacement=True).flatten()
    return Triplets(rows.repeat_interleave(each), positive, negative)
