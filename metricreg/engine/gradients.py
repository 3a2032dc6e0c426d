"""Gradients summed over tiles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Gradients:
    """Sums of gradients, made when there is something to add.

    Args:
        like: the tensors whose gradients they are; more may be appended.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.like = like
        self.totals: dict[int, Tensor] = {}
        self._shared: set[int] = set()

    def add(self, at: int, part: Tensor | None, rows: slice | None = None) -> None:
        """Add a gradient of the tensor at a place, or of some of its rows."""
        if part is None:
            return
        if rows is not None and (rows.start, rows.stop) != (0, len(self.like[at])):
            self._mine(at)[rows] += part
        elif at not in self.totals:
            self.totals[at] = part  # perhaps a view, or of others too: not to be written to
            self._shared.add(at)
        else:
            self._mine(at).add_(part)

    def add_product(self, at: int, left: Tensor, right: Tensor, rows: slice | None = None) -> None:
        """Add leftᵀ · right, a gradient of the tensor at a place, or of some of its rows."""
        if at in self.totals or rows is not None:
            mine = self._mine(at)
            (mine if rows is None else mine[rows]).addmm_(left.mT, right)
        else:
            self.totals[at] = left.mT @ right

    def add_rows(self, at: int, part: Tensor, index: Tensor, rows: slice | None = None) -> None:
        """Add a gradient of listed rows of the tensor at a place, or of some of its rows."""
        mine = self._mine(at)
        (mine if rows is None else mine[rows]).index_add_(0, index, part)

    def _mine(self, at: int) -> Tensor:
        if at not in self.totals:
            self.totals[at] = torch.zeros_like(self.like[at])
        elif at in self._shared:
            self.totals[at] = self.totals[at].clone()
        self._shared.discard(at)
        return self.totals[at]

    def each(self) -> list[Tensor | None]:
        """The sum of each, in order."""
        return [self.totals.get(at) for at in range(len(self.like))]


def weighed_sum(gradients: Sequence[Tensor | None], slopes: Sequence[Tensor]) -> Tensor | None:
    """Σ slopeᵢ·gradientᵢ of those that there are."""
    parts = [slope * gradient for slope, gradient in zip(slopes, gradients, strict=True) if gradient is not None]
    return sum(parts[1:], parts[0]) if parts else None
