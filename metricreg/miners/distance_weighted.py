"""Distance weighted miner."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Triplets
from metricreg.components import Miner, OwnDistanceMinerSlots
from metricreg.distances import LpDistance


class DistanceWeightedMiner(Miner):
    r"""Draws a negative for each positive pair, such that all distances are about as likely.

    $$P(n \mid a) \propto \min \left( q^{-1}(\text{cutoff}),\, q^{-1}(d(a, n)) \right) \qquad
    q(d) = d^{D-2} \left( 1 - \tfrac14 d^2 \right)^{(D-3)/2}$$

    q is how often points that are spread evenly on the unit sphere have a distance: nearly always about 1.4. Embeddings
    are scaled to unit length, and distances are Euclidean. Draws are with replacement, by torch's random numbers. An
    anchor without a negative nearer than `nonzero_loss_cutoff` has none. Wu et al. 2017, "Sampling Matters in Deep
    Embedding Learning".

    Args:
        cutoff: the distance under which nearer is no likelier, which bounds the variance; greater than 0.
        nonzero_loss_cutoff: the distance from which on negatives are never drawn; greater than cutoff. No two unit
            embeddings are farther apart than 2.
    """

    def __init__(
        self,
        cutoff: Annotated[float, Field(gt=0)] = 0.5,
        nonzero_loss_cutoff: Annotated[float, Field(gt=0)] = 1.4,
        **slots: Unpack[OwnDistanceMinerSlots],
    ) -> None:
        super().__init__(LpDistance(), **slots)
        if cutoff >= nonzero_loss_cutoff:
            raise ValueError(f"cutoff is less than nonzero_loss_cutoff; got {cutoff} and {nonzero_loss_cutoff}")
        self.cutoff = cutoff
        self.nonzero_loss_cutoff = nonzero_loss_cutoff

    def width(self, batch: Batch) -> int:
        """M + K: a weight a reference, and a draw a positive."""
        return len(batch.references) + batch.positive_index[0].shape[1]

    def select(self, batch: Batch) -> Triplets:
        """The positive pairs of some anchors, with drawn negatives."""
        d = self.distance.between(batch)
        index, counts = batch.positive_index
        allowed = (batch.negatives != 0) & (d < self.nonzero_loss_cutoff)
        rows = (allowed.any(1) & counts.any(1)).nonzero()[:, 0]
        if not len(rows):
            return Triplets(rows, rows, rows)
        logs = self._log_weights(d[rows], batch.anchors.shape[1]).masked_fill(~allowed[rows], -torch.inf)
        drawn = torch.multinomial((logs - logs.amax(1, keepdim=True)).exp(), index.shape[1], replacement=True)
        # a generator's exact 0 may draw what has no weight
        row, place = (counts[rows] & allowed[rows].gather(1, drawn)).nonzero(as_tuple=True)
        return Triplets(rows[row], index[rows[row], place], drawn[row, place])

    def _log_weights(self, d: Tensor, size: int) -> Tensor:
        return _log_rarity(d.clamp(min=self.cutoff), size).clamp(max=_log_rarity(d.new_tensor(self.cutoff), size))

    def effective_arguments(self) -> dict[str, Any]:
        """The slots in use; the distance is part of the definition."""
        return {slot: value for slot, value in super().effective_arguments().items() if slot != "distance"}


def _log_rarity(d: Tensor, size: int) -> Tensor:
    """The logarithm of 1 / q, finite at distance 2."""
    cap = (1.0 - d.square() / 4).clamp(min=math.sqrt(torch.finfo(d.dtype).tiny))
    return (2.0 - size) * d.log() - (size - 3.0) / 2 * cap.log()
