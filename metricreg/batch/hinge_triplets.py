"""HingeTriplets: all triplets of a hinge loss, as a term."""

from __future__ import annotations

import torch
from torch import Tensor

from metricreg.batch.terms import Term, TermError
from metricreg.functional.row_sums import hinge_sums, number

FEW = 16
"""Positives of an anchor up to which hinges are summed one positive after another; of more, sorted."""


class HingeTriplets(Term):
    """relu(x + y) over all positives times all negatives of each anchor, without making them.

    Sum and count within bounds come from the sorted `x` and its running sums, in O(M log K) an anchor and O(M)
    memory. The `[A, K, M]` values are made only if something asks for `values`.

    Args:
        x: `[A, K]`, one entry a positive.
        wx: bool `[A, K]`, which positives count.
        y: `[A, M]`, one entry a reference.
        wy: `[A, M]`, bool or counts: which references are negatives, and how often.
        divisor: what `DivisorReducer` divides by, as amounts `[A]` that add up over anchors.
    """

    def __init__(self, x: Tensor, wx: Tensor, y: Tensor, wy: Tensor, divisor: Tensor | None = None) -> None:
        self.x, self.wx, self.y, self.wy = x, wx, y, wy
        self._made: Tensor | None = None
        self.kind, self.rows, self.divisor = "triplet", None, divisor
        self.name, self.anchors, self.labels = "", x.shape[0], None

    @property
    def values(self) -> Tensor:
        """relu(x + y), `[A, K, M]`; made now, and large."""
        if self._made is None:
            self._made = (self.x[:, :, None] + self.y[:, None, :]).relu()
        return self._made

    @property
    def size(self) -> int:
        """How many values it takes to make this term: not those of the triplets."""
        return self.x.numel() + self.y.numel()

    @property
    def weight(self) -> Tensor:
        """Which triplets count, `[A, K, M]`."""
        return (
            self.wx[:, :, None] & self.wy[:, None, :]
            if self.wy.dtype is torch.bool
            else (self.wx[:, :, None] * self.wy[:, None, :])
        )

    def bind(self, name: str, anchors: int, labels: Tensor | None) -> Term:
        """Say which batch the term is of, and check its shapes against it."""
        self.name, self.anchors, self.labels = name, anchors, labels
        if not (
            self.x.shape == self.wx.shape and self.y.shape == self.wy.shape and len(self.x) == len(self.y) == anchors
        ):
            shapes = [tuple(t.shape) for t in (self.x, self.wx, self.y, self.wy)]
            raise TermError(f"term '{name}' needs x, wx [A, K] and y, wy [A, M] with A = {anchors}; got {shapes}")
        self._check_divisor()
        return self

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum and count of each anchor's hinges, only those strictly between the bounds if given."""
        if high is None and not torch.compiler.is_compiling() and self._is_few:
            return hinge_sums(self.x, self.wx, self.y, self.wy, low)
        x, order = self.x.where(self.wx, 0.0).sort(1)
        wx = self.wx.gather(1, order)
        # between two bounds is a difference of two sums, which may be far larger
        sums = x.where(wx, 0.0) if high is None or x.device.type == "mps" else x.where(wx, 0.0).double()
        totals, counts = _suffix(sums), _suffix(wx.long())
        alive = (self.wy != 0) & wx.any(1, keepdim=True)

        def above(bound: float, right: bool) -> tuple[Tensor, Tensor]:  # of hinges > bound, or >= bound
            first = torch.searchsorted(x.detach(), (bound - self.y.detach()).contiguous(), right=right)
            number = counts.gather(1, first)
            total = totals.gather(1, first) + number * self.y
            return torch.where(alive, total, 0.0) * self.wy, number * self.wy

        total, number = above(0.0 if low is None else max(low, 0.0), right=True)
        if low is None or low < 0.0:  # hinges of exactly zero count, and add nothing
            number = counts[:, :1] * self.wy
        if high is not None and high > 0.0:
            cut, cut_number = above(high, right=False)
            total, number = total - cut, number - cut_number
        elif high is not None:  # no hinge is below zero
            total, number = total * 0.0, number * 0
        # searchsorted may step over a NaN in x; this keeps it in the sum, where there is a triplet to keep it
        poison = torch.where(alive.any(1), totals[:, 0] * 0.0, 0.0)
        return (total.sum(1) + poison).to(x.dtype), number.sum(1)

    @property
    def _is_few(self) -> bool:
        """Whether an anchor has few positives, and each triplet counts once or not at all."""
        return self.x.shape[1] <= FEW and self.wx.dtype is self.wy.dtype is torch.bool

    def sum(self, values: Tensor | None = None) -> Tensor:
        """Sum of the hinges; or of other values `[A, K, M]` in their place."""
        return self.per_anchor()[0].sum() if values is None else super().sum(values)

    def count(self, where: Tensor | None = None) -> Tensor:
        """How many triplets count, of all or of those where a condition `[A, K, M]` holds."""
        return (self.wx.sum(1) * _row_numbers(self.wy)).sum() if where is None else super().count(where)


def _row_numbers(weight: Tensor) -> Tensor:
    return number(weight, weight) if weight.dtype is torch.bool else weight.sum(1)


def _suffix(values: Tensor) -> Tensor:
    """Sums of the entries from each position on, and 0 at the end: `[A, K]` to `[A, K + 1]`."""
    return torch.nn.functional.pad(values.flip(1).cumsum(1).flip(1), (0, 1))
