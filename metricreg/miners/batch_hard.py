"""Batch-hard miner."""

from __future__ import annotations

from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Triplets
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance
from metricreg.functional.masked import masked_argmax


class BatchHardMiner(Miner):
    """One triplet an anchor: its farthest positive and its nearest negative.

    An anchor without positives or without negatives has none. Hermans et al. 2017, "In Defense of the Triplet Loss for
    Person Re-Identification".
    """

    default_distance = LpDistance

    def __init__(self, **slots: Unpack[MinerSlots]) -> None:
        super().__init__(**slots)

    def select(self, batch: Batch) -> Triplets:
        """The hardest triplet of each of some anchors."""
        closeness = self.distance.closeness(self.distance.between(batch))
        positives, negatives = batch.positives != 0, batch.negatives != 0
        rows = (positives.any(1) & negatives.any(1)).nonzero()[:, 0]
        if not len(rows):
            return Triplets(rows, rows, rows)
        positive = masked_argmax(-closeness, positives)
        negative = masked_argmax(closeness, negatives)
        return Triplets(rows, positive[rows], negative[rows])
