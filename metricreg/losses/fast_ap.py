"""FastAP."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.functional.soft_histogram import soft_histograms


class FastAPLoss(Loss):
    r"""One less the average precision of each anchor's ranking, from soft histograms of its distances.

    $$\ell_a = 1 - \frac{1}{|P_a|} \sum_{l=0}^{L} \frac{h_l^+ H_l^+}{H_l} \qquad
      h_l = \sum_j \left[ 1 - \frac{|d(a, j) - l \Delta|}{\Delta} \right]_+ \qquad H_l = \sum_{k \le l} h_k$$

    The plus is for the positives alone. Delta is the largest possible distance over L, so each distance is in two bins
    at most. Tuples or a miner weigh each anchor's loss by how often it occurs in them. An anchor without positives has
    none. Cakir et al. 2019, "Deep Metric Learning to Rank".

    Args:
        num_bins: L, at least 1.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (LpDistance,)
    default_distance = partial(LpDistance, power=2)

    def __init__(self, num_bins: Annotated[int, Field(gt=0)] = 10, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.num_bins = num_bins
        assert isinstance(self.distance, LpDistance)
        if self.distance.p != 2.0 or not self.distance.normalize:
            raise ValueError(
                "FastAPLoss needs distances that are 2 at most: LpDistance with p=2 and normalize=True, not "
                f"p={self.distance.p:g} and normalize={self.distance.normalize}"
            )

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become weights of the anchors."""
        return batch.replace(selection=None, weights=batch.row_weights())

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        assert isinstance(self.distance, LpDistance)
        d, scale = self.distance.between(batch), self.num_bins / 2.0**self.distance.power
        near, among = batch.at_positives(d)
        positives, negatives = soft_histograms(d, near, among, batch.negatives, 0.0, scale, self.num_bins)
        found = positives.cumsum(1)
        ranked = found + negatives.cumsum(1)
        empty = ranked == 0.0
        precision = (found / ranked.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)
        count = among.sum(1)
        losses = 1.0 - (positives * precision).sum(1) / count.clamp(min=1)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights, count != 0)}
