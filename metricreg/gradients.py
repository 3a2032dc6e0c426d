"""Gradients summed over tiles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Gradients:
    """Sums of the gradients of a fold's inputs, made when there is something to add.

    Args:
        inputs: the tensors of the batch that want a gradient, then the parameters.
        by_row: of those tensors, which have a row an anchor.
        rows_of_first: whether the tensors of a tile end with its anchors, which are rows of the first input.
    """

    def __init__(self, inputs: list[Tensor], by_row: list[bool], rows_of_first: bool) -> None:
        self.inputs = inputs
        self.by_row = by_row + [False] * (len(inputs) - len(by_row))
        self.anchors_at = len(by_row) if rows_of_first else None
        self.totals: list[Tensor | None] = [None] * len(inputs)
        self.shared = [False] * len(inputs)

    def add(self, found: list[Tensor | None], i: int, j: int) -> None:
        """Add the gradients of the tile of anchors i to j."""
        anchors = None if self.anchors_at is None else found.pop(self.anchors_at)
        if anchors is not None:
            self._mine(0)[i:j] += anchors
        for k, part in enumerate(found):
            if part is None:
                continue
            if self.by_row[k]:
                self._mine(k)[i:j] += part
            elif self.totals[k] is None:
                self.totals[k], self.shared[k] = part, True  # perhaps a view: not to be written to
            else:
                self._mine(k).add_(part)

    def _mine(self, k: int) -> Tensor:
        total = self.totals[k]
        if total is None:
            total = torch.zeros_like(self.inputs[k])
        elif self.shared[k]:
            total = total.clone()
        self.totals[k], self.shared[k] = total, False
        return total


def weighed_sum(gradients: Sequence[Tensor | None], slopes: Sequence[Tensor]) -> Tensor | None:
    """Σ slopeᵢ·gradientᵢ of those that there are."""
    parts = [slope * gradient for slope, gradient in zip(slopes, gradients, strict=True) if gradient is not None]
    return sum(parts[1:], parts[0]) if parts else None
