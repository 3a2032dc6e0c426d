"""Pair margin miner."""

from __future__ import annotations

from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Pairs
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance


class PairMarginMiner(Miner):
    r"""Keeps the positive pairs farther than one margin, and the negative pairs nearer than another.

    $$d(a, p) > m^+ \qquad d(a, n) < m^-$$

    Of a similarity, it keeps positive pairs below their margin and negative pairs above theirs. With a contrastive loss
    of the same margins these are the pairs whose loss is not 0. Hadsell et al. 2006, "Dimensionality Reduction by
    Learning an Invariant Mapping".

    Args:
        pos_margin: m⁺, in units of the distance.
        neg_margin: m⁻, in units of the distance.
    """

    default_distance = LpDistance

    def __init__(self, pos_margin: float = 0.2, neg_margin: float = 0.8, **slots: Unpack[MinerSlots]) -> None:
        super().__init__(**slots)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def select(self, batch: Batch) -> Pairs:
        """The pairs of some anchors that are beyond their margin."""
        d = self.distance.between(batch)
        positives = (batch.positives != 0) & (self.distance.margin(d, self.pos_margin) > 0)
        negatives = (batch.negatives != 0) & (self.distance.margin(self.neg_margin, d) > 0)
        return Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True), repeats=False)
