"""What a sweep makes of the references once, instead of once a tile, such as their unit rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metricreg.functional.functions import has_tangent, transformed

_LOCAL = threading.local()
_REFERENCES = -1


@dataclass(frozen=True)
class Window:
    """A leaf of a tile, and what it is rows of.

    Args:
        leaf: `[J - I, ...]`, or all of it.
        of: the place of the operand, or -1 for the references.
        rows: I and J; None for all, or where there are no rows.
    """

    leaf: Tensor
    of: int
    rows: slice | None


class Epilogue(Protocol):
    """A function of each row of a product by itself, whose gradient follows from what it gave."""

    def __call__(self, values: Tensor) -> Tensor:
        """The function `[..., A, M]`, differentiable as often as anyone likes."""

    def write(self, values: Tensor) -> None:
        """The same in place, of `[A, M]`."""

    def slope(self, gradient: Tensor, found: Tensor) -> Tensor:
        """The gradient with respect to the values, by what the function gave."""


class Sinks(Protocol):
    """Where gradients of operands are summed over tiles."""

    def add_product(self, window: Window, gradient: Tensor, factor: Tensor) -> None:
        """Add the product gradientᵀ · factor to the gradient of what a leaf is rows of."""

    def add_rows(self, window: Window, gradient: Tensor, index: Tensor) -> None:
        """Add a gradient of some rows of a leaf to the gradient of what that is rows of."""


class Operands:
    """Tensors made of the references, of which every tile sees rows, as leaves.

    Args:
        references: `[M, D]`, the leaf of the whole sweep.
    """

    def __init__(self, references: Tensor) -> None:
        self.references = references
        self.sources: list[Tensor] = []
        self._places: dict[Hashable, int] = {}
        self.sinks: Sinks | None = None
        self._known: dict[int, Window] = {}
        self._made: dict[Hashable, Window] = {}

    def begin(self, windows: Sequence[tuple[Tensor, slice | None]]) -> None:
        """Forget the leaves of the last tile.

        Args:
            windows: the tensors that stand for references in this one, and which rows of them they are.
        """
        self._known = {id(leaf): Window(leaf, _REFERENCES, rows) for leaf, rows in windows}
        self._made = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """`once_a_sweep` in this thread finds and keeps what it makes here."""
        before = getattr(_LOCAL, "operands", None)
        _LOCAL.operands = self
        try:
            yield
        finally:
            _LOCAL.operands = before

    @property
    def windows(self) -> list[Window]:
        """The leaves that this tile has used and that want a gradient."""
        return [window for window in self._made.values() if window.leaf.requires_grad]

    def made(self, key: Hashable, tensor: Tensor, make: Callable[[Tensor], Tensor], by_row: bool) -> Tensor:
        """What `make` makes of all references, in the rows that a tensor has of them; else `make(tensor)`."""
        window = self._known.get(id(tensor))
        if window is None:
            return make(tensor)
        key = key, window.of, torch.is_grad_enabled()
        if key not in self._places:
            self._places[key] = len(self.sources)
            self.sources.append(make(self._whole(window.of)))
        place = self._places[key]
        rows = window.rows if by_row else None
        mine = place, None if rows is None else (rows.start, rows.stop)
        if mine not in self._made:
            source = self.sources[place]
            some = source if rows is None else source[rows]
            leaf = some.detach().requires_grad_(source.requires_grad)
            self._made[mine] = self._known[id(leaf)] = Window(leaf, place, rows)
        return self._made[mine].leaf

    def window(self, tensor: Tensor) -> Window | None:
        """What is known of a leaf that this tile has made; None of any other tensor."""
        found = self._known.get(id(tensor))
        return None if found is None or found.of == _REFERENCES or found.leaf is not tensor else found

    def alike(self, x: Tensor, y: Tensor) -> bool:
        """Whether two leaves of this tile are rows of the same."""
        found = [self._known.get(id(tensor)) for tensor in (x, y)]
        return found[0] is not None and found[1] is not None and found[0].of == found[1].of

    def _whole(self, place: int) -> Tensor:
        return self.references if place == _REFERENCES else self.sources[place]

    def passed_on(self, gradients: Mapping[int, Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """The gradients of inputs that follow from those of the operands, by their places. May be asked again."""
        if not gradients or not inputs:
            return [None] * len(inputs)
        sources, given = [self.sources[place] for place in gradients], list(gradients.values())
        return list(torch.autograd.grad(sources, inputs, given, allow_unused=True, retain_graph=True))


def in_sweep() -> bool:
    """Whether a sweep evaluates a tile in this thread."""
    return getattr(_LOCAL, "operands", None) is not None


def same_rows(x: Tensor, y: Tensor) -> bool:
    """Whether x is y, or both are rows of the same references in a sweep."""
    if x is y:
        return True
    operands: Operands | None = getattr(_LOCAL, "operands", None)
    return operands is not None and operands.alike(x, y)


def product(x: Tensor, y: Tensor, then: Epilogue | None = None) -> Tensor:
    """The product x yᵀ, `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`, or a function of it.

    Where y is what is made once a sweep, its gradient is added where it is summed over tiles, by the matrix product
    itself.
    """
    sink = _sink_of(y) if x.ndim == 2 else None
    if sink is not None:
        found: Tensor = _Product.apply(x, y, *sink, then)  # type: ignore[no-untyped-call]
        return found
    values = x @ y.mT
    if then is None:
        return values
    if torch.is_grad_enabled() or x.ndim != 2 or transformed() or has_tangent(values) or torch.compiler.is_compiling():
        return then(values)
    then.write(values)
    return values


def product_with_sum(x: Tensor, y: Tensor) -> Tensor:
    """The sums of the rows of the product x yᵀ, of `[X, D]` and `[Y, D]`: `[X]`."""
    return x @ once_a_sweep("sum", y, _sum, by_row=False)


def _sum(rows: Tensor) -> Tensor:
    return rows.sum(0)


def listed_rows(y: Tensor, index: Tensor) -> Tensor:
    """The rows of y `[Y, D]` that an index `[...]` lists, `[..., D]`; their gradient is added as that of a product."""
    sink = _sink_of(y)
    if sink is not None:
        found: Tensor = _Listed.apply(y, index.flatten(), *sink)  # type: ignore[no-untyped-call]
    else:
        found = y.index_select(0, index.flatten())
    return found.view(*index.shape, y.shape[-1])


def _sink_of(y: Tensor) -> tuple[Sinks, Window] | None:
    """Where the gradient of a leaf is summed over tiles, if it is one of those that are made once a sweep."""
    operands: Operands | None = getattr(_LOCAL, "operands", None)
    if operands is None or operands.sinks is None or not (torch.is_grad_enabled() and y.requires_grad):
        return None
    window = operands.window(y)
    return None if window is None or transformed() or torch.compiler.is_compiling() else (operands.sinks, window)


class _Listed(torch.autograd.Function):
    """Some rows, whose gradient goes elsewhere."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, index: Tensor, sinks: Sinks, window: Window) -> Tensor:
        ctx.sinks, ctx.window = sinks, window
        ctx.save_for_backward(index)
        return y.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        ctx.sinks.add_rows(ctx.window, gradient, *ctx.saved_tensors)
        return None, None, None, None


class _Product(torch.autograd.Function):
    """The same, where y gets its gradient elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, sinks: Sinks, window: Window, then: Epilogue | None) -> Tensor:
        ctx.sinks, ctx.window, ctx.then = sinks, window, then
        found = x @ y.mT
        if then is not None:
            then.write(found)
        ctx.save_for_backward(x, y, None if then is None else found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        x, y, found = ctx.saved_tensors
        if found is not None:
            gradient = ctx.then.slope(gradient, found)
        ctx.sinks.add_product(ctx.window, gradient, x)
        return gradient @ y if ctx.needs_input_grad[0] else None, None, None, None, None


def once_a_sweep(key: Hashable, tensor: Tensor, make: Callable[[Tensor], Tensor], *, by_row: bool = True) -> Tensor:
    """`make(tensor)`; where the tensor is the references of a sweep, or rows of them, made once for all tiles.

    Args:
        key: what is made: equal for the same function.
        tensor: the references, what was made of them in this way, or any other.
        make: a pure function, of each row by itself if `by_row`.
        by_row: whether the result has a row for each of the tensor's; if not, that of all references is given.
    """
    operands: Operands | None = getattr(_LOCAL, "operands", None)
    if operands is None or torch.compiler.is_compiling():
        return make(tensor)
    return operands.made(key, tensor, make, by_row)
