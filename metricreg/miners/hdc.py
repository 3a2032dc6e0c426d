"""Hard-aware miner."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Pairs
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance


class HDCMiner(Miner):
    r"""Keeps a share of all positive pairs of the batch, the farthest, and of all negative pairs the nearest.

    $$\lceil \text{share} \cdot P \rceil \text{ of } P \text{ positive pairs} \qquad
    \lceil \text{share} \cdot Q \rceil \text{ of } Q \text{ negative pairs}$$

    Pairs are ranked over the whole batch, not anchor by anchor; which of equal ones are kept is open. Memory is that of
    the pairs kept, and of a tile. Yuan et al. 2017, "Hard-Aware Deeply Cascaded Embedding".

    Args:
        filter_percentage: the share that is kept, greater than 0 and at most 1.
    """

    default_distance = LpDistance

    def __init__(
        self, filter_percentage: Annotated[float, Field(gt=0, le=1)] = 0.5, **slots: Unpack[MinerSlots]
    ) -> None:
        super().__init__(**slots)
        self.filter_percentage = filter_percentage

    def mine(self, batch: Batch) -> Pairs:
        """The hardest pairs of all anchors."""
        counts = [[(part.positives != 0).sum(), (part.negatives != 0).sum()] for _, part in self.tiles(batch)]
        sizes = [math.ceil(self.filter_percentage * int(sum(column))) for column in zip(*counts, strict=True)]
        hardest = [_Hardest(size, batch.anchors) for size in sizes]
        for first, part in self.tiles(batch):
            closeness = self.distance.closeness(self.distance.between(part))
            for kept, hardness, pairs in zip(
                hardest, (-closeness, closeness), (part.positives != 0, part.negatives != 0), strict=True
            ):
                anchor, other = (pairs & ~hardness.isnan()).nonzero(as_tuple=True)
                kept.add(hardness[anchor, other], torch.stack([anchor + first, other]))
        return Pairs(*hardest[0].pairs(), *hardest[1].pairs(), repeats=False)


class _Hardest:
    """The `size` hardest of the pairs that were added, in the memory of about twice as many."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.size = size
        self.hardness = [like.new_zeros(0)]
        self.columns = [like.new_zeros(2, 0, dtype=torch.long)]

    def add(self, hardness: Tensor, columns: Tensor) -> None:
        """Add pairs, `[P]` and `[2, P]`."""
        self.hardness.append(hardness)
        self.columns.append(columns)
        if sum(map(len, self.hardness)) > 2 * self.size:
            self.pairs()

    def pairs(self) -> Tensor:
        """The hardest so far, `[2, size]`; the others are forgotten."""
        hardness, columns = torch.cat(self.hardness), torch.cat(self.columns, 1)
        top = hardness.topk(min(self.size, len(hardness)))
        self.hardness, self.columns = [top.values], [columns[:, top.indices]]
        return self.columns[0]
