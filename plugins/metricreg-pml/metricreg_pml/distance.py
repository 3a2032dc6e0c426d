"""Distances of pytorch-metric-learning."""

from __future__ import annotations

from typing import Any, ClassVar

from pytorch_metric_learning.distances import LpDistance
from torch import Tensor, nn

from metricreg import Distance
from metricreg_pml.theirs import called, constructed, wide


class PMLDistance(Distance):
    """A distance that pytorch-metric-learning computes.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.pml: Any = constructed(type(self).theirs, arguments)
        self.is_inverted = bool(self.pml.is_inverted)  # type: ignore[misc] # of each object there, of the class here

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Distances between the rows of x `[X, D]` and of y `[Y, D]` (x itself if None): `[X, Y]`."""
        with called(self.pml, x):
            found: Tensor = self.pml(wide(x), None if y is None or y is x else wide(y))
            return found

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of rows as they are, `[X, D]` and `[Y, D]` to `[X, Y]`, with the power."""
        with called(self.pml, x):
            found: Tensor = self.pml.compute_mat(x, y)
            return found if self.pml.power == 1 else found**self.pml.power

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each row of x `[N, D]` to the same row of y `[N, D]`: `[N]`."""
        with called(self.pml, x):
            x, y = self.pml.maybe_normalize(wide(x)), self.pml.maybe_normalize(wide(y))
            found: Tensor
            if isinstance(
                self.pml, LpDistance
            ):  # to whose rows pairwise_distance adds a little, and the matrix does not
                found = self.pml.compute_mat(x[:, None], y[:, None])[:, 0, 0]
            else:
                found = self.pml.pairwise_distance(x, y)
            return found if self.pml.power == 1 else found**self.pml.power
