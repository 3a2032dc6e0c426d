"""Triplet margin miner."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Triplets
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance


class TripletMarginMiner(Miner):
    r"""Keeps the triplets whose negative is not farther than the positive by the margin.

    With $$g = d(a, n) - d(a, p)$$, `all` keeps g ≤ margin; of those `hard` keeps g ≤ 0 and `semihard` g > 0; `easy`
    keeps g > margin. Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering".

    Args:
        margin: in units of the distance.
        type_of_triplets: `all`, `hard`, `semihard` or `easy`.
    """

    default_distance = LpDistance

    def __init__(
        self,
        margin: float = 0.2,
        type_of_triplets: Literal["all", "hard", "semihard", "easy"] = "all",
        **slots: Unpack[MinerSlots],
    ) -> None:
        super().__init__(**slots)
        self.margin = margin
        self.type_of_triplets = type_of_triplets

    def width(self, batch: Batch) -> int:
        """K · M: each triplet of an anchor is looked at."""
        return len(batch.references) * max(1, batch.positive_index[0].shape[1])

    def select(self, batch: Batch) -> Triplets:
        """The wanted triplets of some anchors."""
        d = self.distance.between(batch)
        index, counts = batch.positive_index
        gap = self.distance.margin(d[:, None, :], d.gather(1, index)[:, :, None])
        if self.type_of_triplets == "easy":
            kept = gap > self.margin
        else:
            kept = gap <= self.margin
            if self.type_of_triplets == "hard":
                kept = kept & (gap <= 0)
            elif self.type_of_triplets == "semihard":
                kept = kept & (gap > 0)
        wanted = kept & counts[:, :, None] & (batch.negatives != 0)[:, None, :]
        anchor, place, negative = wanted.nonzero(as_tuple=True)
        return Triplets(anchor, index[anchor, place], negative)
