"""Uniform histogram miner."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Pairs
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance


class UniformHistogramMiner(Miner):
    r"""Draws as many pairs from each bin of a histogram of distances, so that all distances are about as frequent.

    $$b(d) = \left\lfloor B \, \frac{d - d_{\min}}{d_{\max} - d_{\min}} \right\rfloor$$

    The greatest distance is in the last bin. Positive pairs have a histogram, and negative pairs another, both over the
    whole batch. From each bin that is not empty, pairs are drawn uniformly and with replacement, by torch's random
    numbers. Memory is that of the draws, and of a tile.

    Args:
        num_bins: B, at least 1.
        pos_per_bin: how many positive pairs are drawn from a bin, at least 1.
        neg_per_bin: how many negative pairs are drawn from a bin, at least 1.
        distance: whose values are binned; Euclidean of unit embeddings if None.
    """

    default_distance = LpDistance

    def __init__(
        self,
        num_bins: Annotated[int, Field(gt=0)] = 100,
        pos_per_bin: Annotated[int, Field(gt=0)] = 10,
        neg_per_bin: Annotated[int, Field(gt=0)] = 10,
        **slots: Unpack[MinerSlots],
    ) -> None:
        super().__init__(**slots)
        self.num_bins = num_bins
        self.pos_per_bin = pos_per_bin
        self.neg_per_bin = neg_per_bin

    def mine(self, batch: Batch) -> Pairs:
        """The drawn pairs of all anchors: one sweep for the bins, and one for the draws."""
        ends = batch.anchors.new_tensor([[torch.inf, -torch.inf]] * 2)
        for _, part in self.tiles(batch):
            for sort, (values, _) in enumerate(self._listed(part)):
                if len(values):
                    low, high = values.aminmax()
                    ends[sort] = torch.stack([ends[sort, 0].minimum(low), ends[sort, 1].maximum(high)])
        draws = [
            _Draws(_edges(ends[sort], self.num_bins), count)
            for sort, count in enumerate((self.pos_per_bin, self.neg_per_bin))
        ]
        for first, part in self.tiles(batch):
            for drawn, (values, columns) in zip(draws, self._listed(part), strict=True):
                if len(values):
                    drawn.add(values, columns + columns.new_tensor([[first], [0]]))
        return Pairs(*draws[0].pairs(), *draws[1].pairs())

    def _listed(self, part: Batch) -> list[tuple[Tensor, Tensor]]:
        """The distances `[P]` and indices `[2, P]` of the positive pairs, and of the negative ones."""
        d = self.distance.between(part)
        found = [(pairs & d.isfinite()).nonzero().mT for pairs in (part.positives != 0, part.negatives != 0)]
        return [(d[columns[0], columns[1]], columns) for columns in found]


def _edges(ends: Tensor, bins: int) -> Tensor:
    """Where one bin ends and the next begins, `[bins - 1]`."""
    share = torch.arange(1, bins, dtype=ends.dtype, device=ends.device) / bins
    return ends[0] + (ends[1] - ends[0]) * share


class _Draws:
    """Uniform draws with replacement of each bin, from pairs that come in parts."""

    def __init__(self, edges: Tensor, count: int) -> None:
        self.edges = edges
        self.drawn = torch.full((2, len(edges) + 1, count), -1, device=edges.device)
        self.seen = torch.zeros(len(edges) + 1, 1, dtype=torch.long, device=edges.device)

    def add(self, values: Tensor, columns: Tensor) -> None:
        """Add pairs `[P]`, `[2, P]`: each draw becomes one of these as likely as they are many among all so far."""
        bins = torch.bucketize(values, self.edges, right=True)
        order = bins.argsort()
        counts = bins.bincount(minlength=len(self.seen))[:, None]
        self.seen += counts
        chance, which = torch.rand(2, *self.drawn.shape[1:], device=values.device)
        place = counts.cumsum(0) - counts + (which * counts).long().minimum((counts - 1).clamp(min=0))
        taken = (counts > 0) & ((self.drawn[0] < 0) | (chance * self.seen < counts))
        self.drawn = torch.where(taken, columns[:, order[place.clamp(max=len(order) - 1)]], self.drawn)

    def pairs(self) -> Tensor:
        """The draws of the bins that are not empty, `[2, draws]`."""
        return self.drawn[:, self.seen[:, 0] > 0].flatten(1)
