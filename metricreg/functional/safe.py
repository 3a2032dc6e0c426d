"""Functions with a finite gradient at zero, where embeddings coincide, vanish, or cost nothing any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.functional.cache import part, strips
from metricreg.functional.functions import Function, transformed
from metricreg.functional.notes import note, noted

_UNIT_ROWS = "unit rows"
SHORTEST = 1e-12
"""Norm under which a row has no direction."""


def root(squares: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where the true one is infinite."""
    return _above(squares, torch.zeros((), dtype=squares.dtype, device=squares.device), True)


class Above:
    """What is greater than `least` `[A, 1]`, at least 0, or its square root; of the rest 0, with gradient 0.

    Args:
        least: has no gradient.
        rooted: the square root.
    """

    def __init__(self, least: Tensor, rooted: bool) -> None:
        self.least, self.rooted = least.detach(), rooted

    def __call__(self, values: Tensor) -> Tensor:
        """Of squares `[..., A, M]`."""
        return _above(values, self.least, self.rooted)

    def write(self, values: Tensor) -> None:
        """In place, of squares `[A, M]`."""
        scratch: Tensor | None = None
        for rows in strips(values):
            some, least = part(values, rows), part(self.least, rows)
            scratch = torch.empty_like(some) if scratch is None else scratch[: len(some)]
            some.mul_(torch.gt(some, least, out=scratch))
            if self.rooted:
                some.sqrt_()

    def slope(self, gradient: Tensor, found: Tensor) -> Tensor:
        """The gradient with respect to squares `[A, M]`."""
        out = torch.empty_like(found)
        for rows in strips(found):
            given, some, slope = part(gradient, rows), part(found, rows), part(out, rows)
            if self.rooted:
                given = torch.div(given, some, out=slope).mul_(0.5)
            torch.ops.aten.threshold_backward(given, some, 0.0, grad_input=slope)
        return out


def _above(squares: Tensor, least: Tensor, rooted: bool) -> Tensor:
    if torch.compiler.is_compiling():  # which finds the passes by itself
        low = squares <= least
        kept = squares.masked_fill(low, 1.0)
        return (kept.sqrt() if rooted else kept).masked_fill(low, 0.0)
    found: Tensor = _Above.apply(squares, least.detach(), rooted)
    return found


class _Above(Function):
    """In few passes over memory, and none over a mask: comparisons to floats are an order of magnitude faster."""

    generate_vmap_rule = True

    @staticmethod
    def forward(squares: Tensor, least: Tensor, rooted: bool) -> Tensor:
        # torch.vmap knows no gt_
        found = squares * (squares > least) if transformed() else squares.clone().gt_(least).mul_(squares)
        return found.sqrt_() if rooted else found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        ctx.rooted = inputs[2]
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (found,) = ctx.saved_tensors
        return slope_times(gradient, found, ctx.rooted), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        (found,) = ctx.saved_tensors
        return slope_times(tangent, found, ctx.rooted)


def slope_times(factor: Tensor, found: Tensor, rooted: bool) -> Tensor:
    """A factor over twice a square root, or the factor; 0 where nothing was found."""
    if torch.is_grad_enabled():
        zero = found == 0.0
        return (factor / (2.0 * found.masked_fill(zero, 1.0)) if rooted else factor).masked_fill(zero, 0.0)
    slope = torch.div(factor, found).mul_(0.5) if rooted else factor
    passed: Tensor = torch.ops.aten.threshold_backward(slope, found, 0.0)  # 0 where found is 0, without a mask
    return passed


def raised(values: Tensor, power: float) -> Tensor:
    """Values to a power, with gradient 0 at 0 for powers under 1, where the true one is infinite."""
    if power == 1.0:
        return values
    if not 0.0 < power < 1.0:
        return values**power
    zero = values == 0.0
    return (values.masked_fill(zero, 1.0) ** power).masked_fill(zero, 0.0)


def unit_rows(x: Tensor, p: float = 2.0) -> Tensor:
    """Rows of unit Lp norm; a row without length stays as it is, and passes its gradient on as it is."""
    if p == 2.0 and not torch.compiler.is_compiling():
        if noted(x) == _UNIT_ROWS:
            return x
        found: Tensor = _UnitRows.apply(x)[0]
        note(found, _UNIT_ROWS)
        return found
    if p == 2.0 or not x.shape[-1]:
        norms = torch.linalg.vector_norm(x, p, dim=-1, keepdim=True)
        return x / _lengths(norms, norms <= SHORTEST)
    # the powers of entries of ordinary size overflow and vanish, unless their largest is 1; the direction is the same
    largest = x.detach().abs().amax(-1, keepdim=True)
    rows = x / _lengths(largest, largest < torch.finfo(x.dtype).tiny)
    norms = torch.linalg.vector_norm(rows, p, dim=-1, keepdim=True)
    short = norms.detach() * largest < SHORTEST
    return torch.where(short, x, rows) / _lengths(norms, short)


class _UnitRows(Function):
    """In few passes over memory: u = x / |x| has the derivative (I - u uᵀ) / |x|.

    A short row is its own u, over a length of 1. Of what is along it nothing is left out then: u uᵀ is below rounding.
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.threshold_(torch.linalg.vector_norm(x, dim=-1, keepdim=True), SHORTEST, 1.0)
        return x / lengths, lengths

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *output)
        ctx.save_for_forward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: Tensor) -> Tensor | None:
        if gradient is None:
            return None
        x, units, lengths = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, of x, not of what was made of it
            units, lengths = _with_lengths(x)
        return _projected(gradient, units, lengths)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, None]:
        x, units, lengths = ctx.saved_tensors
        if transformed():
            units, lengths = _with_lengths(x)
        return _projected(tangent, units, lengths), None

    @staticmethod
    def vmap(info: Any, dims: tuple[int], x: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _UnitRows.apply(x.movedim(dims[0], 0)), (0, 0)


def _with_lengths(x: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows and lengths that can be differentiated; 0 for short rows, of whose direction nothing is taken."""
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    short = norms <= SHORTEST
    lengths = _lengths(norms, short)
    return (x / lengths).masked_fill(short, 0.0), lengths


def _projected(vector: Tensor, units: Tensor, lengths: Tensor) -> Tensor:
    """What is left of a vector without its part along unit rows, over their lengths."""
    along = torch.linalg.vecdot(vector, units).unsqueeze(-1)
    return torch.addcmul(vector, along, units, value=-1.0) / lengths


def _lengths(norms: Tensor, short: Tensor) -> Tensor:
    """Norms to divide by: 1 in the place of those that are too short."""
    return norms.masked_fill(short, 1.0)
