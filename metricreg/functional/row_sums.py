"""Sums over rows of what counts, in few passes over memory.

A pass with a mask takes several times as long as one of arithmetic. So what does not count is overwritten once, with a
value out of bounds, and comparisons are made to floats.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.functional.cache import part, strips
from metricreg.functional.exclusion import Exclusion, exclusion_of
from metricreg.functional.functions import Function, transformed

EXACT = 2**24
"""Columns that float32 counts exactly."""


def summable(weight: Tensor) -> bool:
    """Whether each value counts once or not at all, and the passes are ours: a compiler finds them by itself."""
    return weight.dtype is torch.bool and not torch.compiler.is_compiling()


def number(values: Tensor, weight: Tensor | None) -> Tensor:
    """How many of each row's values count: int64 `[A]`."""
    left_out = None if weight is None else exclusion_of(weight)
    if weight is not None and left_out is None:
        return weight.expand(values.shape).sum(1)
    every = torch.full(values.shape[:1], values.shape[1], dtype=torch.int64, device=values.device)
    return every if left_out is None else every - left_out.number


def row_sums(
    values: Tensor, weight: Tensor | None, low: float | None = None, high: float | None = None
) -> tuple[Tensor, Tensor]:
    """Sum `[A]` and count `[A]` (int64) of each row's values that count and lie strictly between the bounds given.

    A NaN is inside any bounds.

    Args:
        values: `[A, M]`.
        weight: bool `[A, M]`, or with axes of length 1 in it, which count; all if None.
        low: the lower bound, or None.
        high: the upper bound, or None.
    """
    left_out = None if weight is None else exclusion_of(weight)
    if low is None and high is None:
        return _without(values, weight, left_out).sum(1), number(values, weight)
    total, count, _ = _RowSums.apply(values, weight, *_tensors(left_out), low, high, None, 1.0)
    return total, count


def shifted(values: Tensor, shift: Tensor | float, factor: float) -> Tensor:
    """Values times a factor, 1 or -1, and something added: in one pass."""
    if isinstance(shift, Tensor):
        return torch.add(shift, values, alpha=factor)
    return values + shift if factor > 0.0 else torch.rsub(values, shift)


def hinge_row_sums(
    values: Tensor, weight: Tensor, shift: Tensor | float, factor: float, least: float
) -> tuple[Tensor, Tensor]:
    """Sum `[A]` and count `[A]` (int64) of what is greater than a bound, of each row's values that count.

    Args:
        values: `[A, M]`.
        weight: bool `[A, M]`, which count.
        shift: what is added first to values times a factor; a number, or one an anchor, `[A, 1]`.
        factor: that factor, 1 or -1.
        least: the bound.
    """
    total, count, _ = _RowSums.apply(values, weight, *_tensors(exclusion_of(weight)), least, None, shift, factor)
    return total, count


def _without(values: Tensor, weight: Tensor | None, left_out: Exclusion | None) -> Tensor:
    """Values with 0 in the place of those that do not count."""
    if weight is None:
        return values
    if left_out is None:
        return torch.where(weight, values, 0.0)
    found: Tensor = _Without.apply(values, *_tensors(left_out))
    return found


def _tensors(left_out: Exclusion | None) -> tuple[Tensor | None, Tensor | None]:
    """What a function needs of it, as inputs of its own: `torch.func` unwraps no others."""
    return (None, None) if left_out is None else (left_out.index, left_out.none)


def _filled(
    values: Tensor,
    weight: Tensor | None,
    left_out: Exclusion | None,
    fill: float,
    rows: slice,
    shift: Tensor | float | None = None,
    factor: float = 1.0,
) -> Tensor:
    """Some rows of the same with another value than 0, without a gradient. Not to be written to.

    With a shift, of the values times a factor and shifted.
    """
    some = part(values, rows)
    if shift is not None:
        some = shifted(some, part(shift, rows) if isinstance(shift, Tensor) else shift, factor)
    if weight is None:
        return some
    if left_out is None:
        return torch.where(weight if len(weight) == 1 else part(weight, rows), some, fill)
    return left_out.fill_(some.clone() if shift is None else some, rows, fill)


class _Without(Function):
    """What is left out of the values is left out of the gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, index: Tensor, none: Tensor | None) -> Tensor:
        return Exclusion(index, none).filled(values, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        found: Tensor = _Without.apply(gradient, *ctx.saved_tensors)
        return found, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return Exclusion(*ctx.saved_tensors).filled(tangent, 0.0)


class _RowSums(Function):
    """The derivative is the factor where a value is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        values: Tensor,
        weight: Tensor | None,
        index: Tensor | None,
        none: Tensor | None,
        low: float | None,
        high: float | None,
        shift: Tensor | float | None,
        factor: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        left_out = None if index is None else Exclusion(index, none)
        outside = next(bound for bound in (low, high) if bound is not None)
        if transformed():  # torch.vmap has no rule for what is done in place
            some = values if shift is None else shifted(values, shift, factor)
            if left_out is not None:
                some = left_out.filled(some, outside)
            elif weight is not None:
                some = torch.where(weight, some, outside)
            dropped = torch.zeros_like(some, dtype=torch.bool) if low is None else some <= low
            inside = ~(dropped if high is None else dropped | (some >= high))
            return torch.where(inside, some, 0.0).sum(1), inside.sum(1), inside.to(some.dtype) * factor
        kept = torch.empty_like(values, memory_format=torch.contiguous_format)
        totals, counts = [], []
        for rows in strips(values):
            some, dropped = _filled(values, weight, left_out, outside, rows, shift, factor), part(kept, rows)
            total = some
            if low is not None:
                total = torch.threshold(total, low, 0.0)
                dropped.copy_(some).le_(low)
            if high is not None:
                total = torch.threshold(total.neg(), -high, 0.0).neg_()
                beyond = some.clone().ge_(high)
                dropped = dropped.copy_(beyond) if low is None else dropped.add_(beyond)
            totals.append(total.sum(1))
            inside = dropped.sub_(1.0) if factor < 0.0 else dropped.neg_().add_(1.0)
            counts.append(inside.sum(1, dtype=torch.float64 if kept.shape[1] > EXACT else None))
        total, count = (parts[0] if len(parts) == 1 else torch.cat(parts) for parts in (totals, counts))
        return total, count.abs().long(), kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, count, kept = output
        ctx.mark_non_differentiable(count, kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(count, kept)
        ctx.save_for_forward(count, kept)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
        count, kept = ctx.saved_tensors
        if gradient is None:
            return (None,) * 8
        of_shift = (gradient * count)[:, None] if ctx.needs_input_grad[6] else None
        return gradient[:, None] * kept, None, None, None, None, None, of_shift, None

    @staticmethod
    def jvp(ctx: Any, values: Tensor | None, *others: Any) -> tuple[Tensor, None, None]:
        count, kept = ctx.saved_tensors
        shift = others[5]
        parts = [] if values is None else [(values * kept).sum(1)]
        parts += [] if shift is None else [shift[:, 0] * count]
        return sum(parts[1:], parts[0]), None, None


def hinge_sums(x: Tensor, wx: Tensor, y: Tensor, wy: Tensor, low: float | None = None) -> tuple[Tensor, Tensor]:
    """Sum `[A]` and count `[A]` (int64) of relu(x + y) over all pairs of an x and a y of a row that count.

    Only of those greater than a bound, if it is given. One x after another, in the memory of y.

    Args:
        x: `[A, K]`.
        wx: bool `[A, K]`, which count.
        y: `[A, M]`.
        wy: bool `[A, M]`, which count.
        low: the bound, or None.
    """
    total, count, *_ = _HingeSums.apply(x, wx, y, wy, exclusion_of(wy), max(low or 0.0, 0.0))
    return total, wx.sum(1) * number(y, wy) if low is None or low < 0.0 else count


class _HingeSums(Function):
    """The derivative of a y is the number of hinges that it keeps open, and that of an x likewise."""

    @staticmethod
    def forward(
        x: Tensor, wx: Tensor, y: Tensor, wy: Tensor, left_out: Exclusion | None, low: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        shifts = torch.where(wx, x, -torch.inf)
        of_y = torch.zeros_like(y, memory_format=torch.contiguous_format)
        total, of_x = y.new_zeros(len(y)), torch.zeros_like(x)
        for rows in strips(y):
            values = _filled(y, wy, left_out, -torch.inf, rows)
            hinges, kept = torch.empty_like(values), torch.empty_like(values)
            for k in range(x.shape[1]):
                torch.add(values, shifts[rows, k : k + 1], out=hinges)
                open_now = torch.gt(hinges, low, out=kept if k else of_y[rows])
                of_x[rows, k] = open_now.sum(1)
                if k:
                    of_y[rows] += kept
                total[rows] += torch.threshold_(hinges, low, 0.0).sum(1)
        return total, of_x.double().sum(1).long(), of_x, of_y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[2:])
        ctx.save_for_forward(*output[2:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Tensor) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return None, None, None, None, None, None
        of_x, of_y = ctx.saved_tensors
        return gradient[:, None] * of_x, None, gradient[:, None] * of_y, None, None, None

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, _: None, y: Tensor | None, *__: None) -> tuple[Tensor, None, None, None]:
        of_x, of_y = ctx.saved_tensors
        first, *others = [(tangent * of).sum(1) for tangent, of in ((x, of_x), (y, of_y)) if tangent is not None]
        return sum(others, first), None, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        many, (x, *_) = info.batch_size, given
        count = (x if dims[0] is None else x.select(dims[0], 0)).shape[0]

        def rows(tensor: Tensor, dim: int | None) -> Tensor:
            each = tensor if dim is None else tensor.movedim(dim, 0)
            return each.expand(many, count, each.shape[-1]).flatten(0, 1)

        found = _HingeSums.apply(*map(rows, given[:4], dims[:4]), None, given[5])
        return tuple(part.unflatten(0, (many, count)) for part in found), (0, 0, 0, 0)
