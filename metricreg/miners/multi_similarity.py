"""Multi-similarity miner."""

from __future__ import annotations

import torch
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Pairs
from metricreg.components import Miner, MinerSlots
from metricreg.distances import CosineSimilarity


class MultiSimilarityMiner(Miner):
    r"""Keeps the pairs that are hard next to the anchor's hardest pair of the other sort.

    $$s(a, p) - \epsilon < \max_n s(a, n) \qquad s(a, n) + \epsilon > \min_p s(a, p)$$

    An anchor without positives or without negatives keeps nothing. Wang et al. 2019, "Multi-Similarity Loss with
    General Pair Weighting for Deep Metric Learning".

    Args:
        epsilon: slack, in units of the similarity.
    """

    default_distance = CosineSimilarity

    def __init__(self, epsilon: float = 0.1, **slots: Unpack[MinerSlots]) -> None:
        super().__init__(**slots)
        self.epsilon = epsilon

    def select(self, batch: Batch) -> Pairs:
        """The hard pairs of some anchors."""
        closeness = self.distance.closeness(self.distance.between(batch))
        positives, negatives = batch.positives != 0, batch.negatives != 0
        if not len(batch.references):
            empty = batch.anchors.new_zeros(0, dtype=torch.long)
            return Pairs(empty, empty, empty, empty, repeats=False)
        nearest_negative = closeness.masked_fill(~negatives, -torch.inf).amax(1, keepdim=True)
        farthest_positive = closeness.masked_fill(~positives, torch.inf).amin(1, keepdim=True)
        hard_positives = positives & (closeness - self.epsilon < nearest_negative)
        hard_negatives = negatives & (closeness + self.epsilon > farthest_positive)
        return Pairs(*hard_positives.nonzero(as_tuple=True), *hard_negatives.nonzero(as_tuple=True), repeats=False)
