"""A trained network together with the scale of the features it was trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScaledEncoder(nn.Module):
    """`network((x - mean) / deviation)`: the weights carry the scale, so that rows go in as they were read.

    Until `fit_scale` is called the mean is 0 and the deviation 1, which leaves rows as they are.

    Args:
        network: rows `[N, *shape]` to embeddings `[N, D]`.
        shape: of one row.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def fit_scale(self, rows: Tensor) -> None:
        """Bring every feature of these rows, `[N, *shape]`, to mean 0 and deviation 1; a constant one becomes 0."""
        rows = rows.double()
        deviation = rows.std(dim=0, correction=0)
        self.mean.copy_(rows.mean(dim=0))
        # rounding leaves a constant feature a tiny deviation, which would blow held-out rows up
        self.deviation.copy_(torch.where(deviation > 1e-7 * rows.abs().amax(dim=0), deviation, torch.inf))

    def scale(self, rows: Tensor) -> Tensor:
        """Rows `[N, *shape]` as the network sees them."""
        return (rows - self.mean) / self.deviation

    def forward(self, rows: Tensor) -> Tensor:
        """Embeddings `[N, D]` of rows `[N, *shape]`."""
        embeddings: Tensor = self.network(self.scale(rows))
        return embeddings
