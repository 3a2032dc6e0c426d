"""Functions of the rows of a matrix, each by itself, evaluated a few rows at a time.

A pass over a matrix that has left the cache waits for memory. Strips of rows stay in it from the first operation on
them to the last, and nothing of the size of the matrix is kept but the matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from metricreg.functional.cache import part, strips
from metricreg.functional.exclusion import Exclusion, exclusion_of
from metricreg.functional.functions import Function


class Rowwise(ABC):
    """A function of each row of a matrix by itself: `[A, M]` to `[A]` or `[A, K]`.

    It is said twice: in plain operations, which are differentiated as often as anyone likes and which a compiler sees;
    and as the value and the gradient of some rows, in few passes and in place. It holds what else it goes by, which
    has no gradient; `plain` finds that as `value` left it, for what is made within a derivative stays there.
    """

    keeps: ClassVar[bool] = False
    """Whether it gives a number a row, and `value_and_derivative` takes hardly longer than `value`."""

    across: ClassVar[bool] = False
    """Whether a row of what it gives is of several rows of the matrix. `value` and `slope` then get the whole matrix,
    their rows are those of what is given, and `slope` adds to `out`."""

    def rows(self, values: Tensor) -> int:
        """How many rows it gives."""
        return len(values)

    @abstractmethod
    def plain(self, values: Tensor) -> Tensor:
        """The function of all rows, in differentiable operations."""

    @abstractmethod
    def value(self, values: Tensor, rows: slice) -> Tensor:
        """The same of some rows.

        Args:
            values: `[R, M]`, those rows; not to be written to.
            rows: which they are.
        """

    @abstractmethod
    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        """The gradient with respect to some rows.

        Args:
            values: `[R, M]`, those rows; not to be written to.
            rows: which they are.
            gradient: of what the function gives of them.
            out: `[R, M]`, what to write it to.
        """

    def value_and_derivative(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        """The value of some rows `[R]`, and its derivative.

        Args:
            values: `[R, M]`, those rows; not to be written to.
            rows: which they are.
            out: `[R, M]`, what to write the derivative to.
        """
        self.slope(values, rows, values.new_ones(len(values)), out)
        return self.value(values, rows)

    def scratch(self, like: Tensor, number: int = 0, dtype: torch.dtype | None = None) -> Tensor:
        """Memory in the shape of some rows, the same for all strips, with anything in it; several, by their numbers."""
        if not hasattr(self, "_scratch"):
            self._scratch: dict[int, Tensor] = {}
        found = self._scratch.get(number)
        if found is None or len(found) < len(like):
            found = self._scratch[number] = torch.empty_like(like, dtype=dtype, memory_format=torch.contiguous_format)
        return found if len(found) == len(like) else found[: len(like)]

    def __call__(self, values: Tensor) -> Tensor:
        """The function of all rows."""
        if torch.compiler.is_compiling():  # which finds the passes by itself
            return self.plain(values)
        found: Tensor = _Value.apply(values, self, None)[0]
        return found

    def with_entries(self, values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The function of all rows, and listed entries of each, whose gradients are added to those of the function.

        Args:
            values: `[A, M]`.
            index: int64 `[A, K]`, columns.
        """
        if torch.compiler.is_compiling():
            return self.plain(values), values.gather(1, index)
        found, _, entries = _Value.apply(values, self, index)
        return found, entries


class Which:
    """The entries of a matrix that count, for strips of it.

    Args:
        weight: bool `[A, M]`.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight, self.left_out = weight, exclusion_of(weight)

    @property
    def weight(self) -> Tensor:
        """Bool `[A, M]`."""
        return self._weight

    def fill_(self, values: Tensor, rows: slice, fill: float) -> Tensor:
        """Write another value to entries of some rows `[R, M]` that do not count."""
        if self.left_out is None:
            return values.masked_fill_(~part(self.weight, rows), fill)
        return self.left_out.fill_(values, rows, fill)


class AllButOne(Which):
    """All entries of a matrix count but one a row; no mask is made until one is wanted.

    Args:
        column: `[A, 1]`, which.
        width: M.
    """

    def __init__(self, column: Tensor, width: int) -> None:
        self.left_out, self.column, self.width = Exclusion(column), column, width

    @property
    def weight(self) -> Tensor:
        """Bool `[A, M]`."""
        return Exclusion(self.column).mask(self.width)


def _slope(values: Tensor, function: Rowwise, gradient: Tensor) -> Tensor:
    """The gradient with respect to the values, in plain operations."""
    pull = torch.func.vjp(function.plain, values)[1]
    found: Tensor = pull(gradient)[0]
    return found


def _pushed(function: Callable[..., Tensor], given: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> Tensor:
    """The derivative of a function in a direction: forward mode has no second level, reverse mode has."""
    value, pull, *_ = torch.func.vjp(function, *given)
    push = torch.func.vjp(pull, torch.zeros_like(value))[1]
    found: Tensor = push(tangents)[0]
    return found


def _one_by_one(apply: Any, info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[Tensor, int]:
    """A function of many matrices, one after another."""

    def at(b: int) -> list[Any]:
        return [g if d is None else g.select(d, b) for g, d in zip(given, dims, strict=True)]

    return torch.stack([apply(*at(b)) for b in range(info.batch_size)]), 0


class _Value(Function):
    """What a function gives, its derivative if that is kept, and the entries that are asked for."""

    @staticmethod
    def forward(values: Tensor, function: Rowwise, index: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        kept = (
            torch.empty_like(values, memory_format=torch.contiguous_format)
            if function.keeps and values.requires_grad
            else None
        )
        parts = []
        for rows in strips(values, function.rows(values)):
            some = values if function.across else part(values, rows)
            parts.append(
                function.value(some, rows)
                if kept is None
                else function.value_and_derivative(some, rows, part(kept, rows))
            )
        found = parts[0] if len(parts) == 1 else torch.cat(parts)
        return found, kept, None if index is None else values.gather(1, index)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Rowwise, Tensor | None], output: tuple[Tensor, Tensor | None, Tensor | None]
    ) -> None:
        values, ctx.function, index = inputs
        found, kept, _ = output
        if kept is not None:
            ctx.mark_non_differentiable(kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(values, found, kept, index)
        ctx.save_for_forward(values, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None, of_entries: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradient is None and of_entries is None:
            return None, None, None
        values, found, kept, index = ctx.saved_tensors
        out = None if gradient is None else _Value.pulled(values, found, kept, ctx.function, gradient)
        if of_entries is None:
            return out, None, None
        if out is None:
            out = torch.zeros_like(values).scatter_add(1, index, of_entries)
        elif torch.is_grad_enabled() or is_legacy_batchedtensor(of_entries):
            out = out.scatter_add(1, index, of_entries)
        else:
            out.scatter_add_(1, index, of_entries)
        return out, None, None

    @staticmethod
    def pulled(values: Tensor, found: Tensor, kept: Tensor | None, function: Rowwise, gradient: Tensor) -> Tensor:
        """The gradient with respect to the values, of what the function gave."""
        if is_legacy_batchedtensor(
            gradient
        ):  # of torch.autograd.grad(is_grads_batched=True), which asks no vmap of ours
            return _slope(values, function, gradient)
        if torch.is_grad_enabled():
            slope: Tensor = _Slope.apply(values, function, gradient)
            return slope
        if kept is None:
            return _Slope.forward(values, function, gradient)
        return kept * gradient.masked_fill(found.isneginf(), 0.0)[:, None]  # where nothing counts

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor, None, Tensor | None]:
        values, index = ctx.saved_tensors
        entries = None if index is None else tangent.gather(1, index)
        return _pushed(ctx.function.plain, (values,), (tangent,)), None, entries

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[tuple[Any, ...], tuple[int | None, ...]]:
        def of(values: Tensor, function: Rowwise, index: Tensor | None) -> Tensor:
            found: Tensor = _Value.apply(values, copy(function), index)[0]  # which may keep what it found
            return found

        found, dim = _one_by_one(of, info, dims, *given)
        if given[2] is None:
            return (found, None, None), (dim, None, None)
        entries, _ = _one_by_one(lambda values, _, index: values.gather(1, index), info, dims, *given)
        return (found, None, entries), (dim, None, dim)


class _Slope(Function):
    """Its gradient."""

    @staticmethod
    def forward(values: Tensor, function: Rowwise, gradient: Tensor) -> Tensor:
        if function.across:
            out = torch.zeros_like(values, memory_format=torch.contiguous_format)
            for rows in strips(values, function.rows(values)):
                function.slope(values, rows, part(gradient, rows), out)
            return out
        out = torch.empty_like(values, memory_format=torch.contiguous_format)
        for rows in strips(values):
            function.slope(part(values, rows), rows, part(gradient, rows), part(out, rows))
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Rowwise, Tensor], output: Tensor) -> None:
        values, ctx.function, gradient = inputs
        ctx.save_for_backward(values, gradient)
        ctx.save_for_forward(values, gradient)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, None, Tensor]:
        values, gradient = ctx.saved_tensors
        pull = torch.func.vjp(lambda v, g: _slope(v, ctx.function, g), values, gradient)[1]
        of_values, of_gradient = pull(factor)
        return of_values, None, of_gradient

    @staticmethod
    def jvp(ctx: Any, of_values: Tensor | None, _: None, of_gradient: Tensor | None) -> Tensor:
        given = ctx.saved_tensors
        tangents = [
            torch.zeros_like(g) if t is None else t for g, t in zip(given, (of_values, of_gradient), strict=True)
        ]
        return _pushed(lambda v, g: _slope(v, ctx.function, g), given, tuple(tangents))

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[Tensor, int]:
        return _one_by_one(_Slope.apply, info, dims, *given)
