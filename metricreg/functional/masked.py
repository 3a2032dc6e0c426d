"""Which entries of a matrix count, and sums over those."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metricreg.functional.torch_internals import needs_plain_operations

EXACT = 2**24
"""Ones that float32 sums exactly."""

Entries = tuple[Tensor, Tensor]
"""Rows `[T]` and columns `[T]` of entries of a matrix."""


@dataclass(eq=False)
class Mask:
    """Which entries of a matrix `[A, M]` count.

    On a CPU, a pass with a mask of bool takes three to ten times as long as one of arithmetic. Where few entries do not
    count, they are listed, and overwritten one by one.

    Args:
        shape: A and M.
        left_out: the entries that do not count, each once, if they are few and known; else
        entries: bool `[A, M]`, those that count.
    """

    shape: tuple[int, int]
    left_out: Entries | None = None
    entries: Tensor | None = field(default=None, repr=False)

    @classmethod
    def of(cls, entries: Tensor) -> Mask:
        """A mask from bool `[A, M]`."""
        return cls((entries.shape[0], entries.shape[1]), None, entries)

    @classmethod
    def all_but(cls, column: Tensor, width: int) -> Mask:
        """All columns of each row but one, int64 `[A, 1]`."""
        rows = torch.arange(len(column), device=column.device)
        return cls((len(column), width), (rows, column[:, 0]))

    def as_bool(self) -> Tensor:
        """Bool `[A, M]`."""
        if self.entries is None:
            assert self.left_out is not None  # one of the two is given
            every = torch.ones(self.shape, dtype=torch.bool, device=self.left_out[0].device)
            self.entries = every.index_put(self.left_out, every.new_zeros(()))
        return self.entries

    def filled(self, values: Tensor, fill: float) -> Tensor:
        """Values `[A, M]` with another in the place of those that do not count, which then have no gradient."""
        if self.left_out is None:
            return torch.where(self.as_bool(), values, fill)
        return values.index_put(self.left_out, values.new_full((), fill)) if len(self.left_out[0]) else values

    def fill_(self, values: Tensor, fill: float) -> Tensor:
        """The same, without a gradient; in place, where what does not count is listed."""
        if self.left_out is None:
            return torch.where(self.as_bool(), values, fill)
        return values.index_put_(self.left_out, values.new_full((), fill))

    def count(self) -> Tensor:
        """How many entries of each row count: int64 `[A]`."""
        if self.left_out is None:
            return self.as_bool().sum(1)
        rows, _ = self.left_out
        every = torch.full((self.shape[0],), self.shape[1], dtype=torch.int64, device=rows.device)
        return every.index_add(0, rows, torch.full_like(rows, -1))


def masked_argmax(values: Tensor, mask: Tensor) -> Tensor:
    """The column of the largest entry of each row that counts, `[A]`, however large or small they are.

    Where none counts, any column.

    Args:
        values: `[A, M]`, M at least 1.
        mask: bool `[A, M]`, which count.
    """
    limits = torch.finfo(values.dtype)
    return values.clamp(limits.min, limits.max).masked_fill(~mask, -torch.inf).argmax(1)


def masked_sum_and_count(
    values: Tensor, mask: Mask | None, low: float | None = None, high: float | None = None
) -> tuple[Tensor, Tensor]:
    """Sum `[A]` and count `[A]` (int64) of each row's values that count and lie strictly between the bounds given.

    A NaN is inside any bounds.

    Args:
        values: `[A, M]`.
        mask: which count; all if None.
        low: the lower bound, or None.
        high: the upper bound, or None.
    """
    if low is None and high is None:
        count = values.new_full((len(values),), values.shape[1], dtype=torch.int64) if mask is None else mask.count()
        return (values if mask is None else mask.filled(values, 0.0)).sum(1), count
    if needs_plain_operations(values):
        kept = torch.ones_like(values, dtype=torch.bool) if mask is None else mask.as_bool()
        kept = kept if low is None else kept & ~(values <= low)
        kept = kept if high is None else kept & ~(values >= high)
        return torch.where(kept, values, 0.0).sum(1), kept.sum(1)
    found: tuple[Tensor, Tensor] = _SumsBetween.apply(values, mask, low, high)  # type: ignore[no-untyped-call]
    return found


class _SumsBetween(torch.autograd.Function):
    """The derivative is 1 where a value is kept, 0 elsewhere: in the type of the values, as bool takes longer."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, mask: Mask | None, low: float | None, high: float | None
    ) -> tuple[Tensor, Tensor]:
        outside = next(bound for bound in (low, high) if bound is not None)
        total = some = values if mask is None else mask.filled(values, outside)
        kept = torch.ones_like(some)
        if low is not None:
            total, kept = torch.threshold(total, low, 0.0), kept.sub_(at_most_as_float(some, low))
        if high is not None:
            total, kept = (
                -torch.threshold(-total, -high, 0.0),
                kept.sub_(at_most_as_float(-some, -high)).clamp_(min=0.0),
            )
        count = kept.sum(1, dtype=torch.float64 if kept.shape[1] > EXACT else None).long()
        ctx.mark_non_differentiable(count)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(kept)
        return total.sum(1), count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return None if gradient is None else gradient[:, None] * kept, None, None, None


def at_most_as_float(values: Tensor, bound: float) -> Tensor:
    """1 where a value is at most a bound, else 0, in the type of the values; without a gradient."""
    if needs_plain_operations(values):
        return (values <= bound).to(values.dtype)
    return torch.le(values, bound, out=torch.empty_like(values))


def greater_as_float(values: Tensor, bound: Tensor, out: Tensor | None = None) -> Tensor:
    """1 where a value is greater than a bound `[A, 1]`, else 0, in the type of the values; without a gradient.

    Args:
        values: `[A, M]`.
        bound: `[A, 1]`.
        out: memory in the shape of the values that may be written to.
    """
    if needs_plain_operations(values):
        return (values > bound).to(values.dtype)
    return torch.gt(values, bound, out=torch.empty_like(values) if out is None else out)
