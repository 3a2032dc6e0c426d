"""Functions with a finite gradient at zero, where embeddings coincide, vanish, or cost nothing any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.functional.torch_internals import needs_plain_operations

MIN_NORM = 1e-12
"""Norm under which a row has no direction."""


def safe_sqrt(squares: Tensor, least: Tensor | None = None) -> Tensor:
    """Square root with gradient 0 at 0, where the true one is infinite.

    Args:
        squares: at least 0, up to rounding.
        least: up to where a square is taken for 0, in a shape that broadcasts; without a gradient; 0 if None.
    """
    least = squares.new_zeros(()) if least is None else least.detach()
    if needs_plain_operations(squares):
        low = squares <= least
        return squares.masked_fill(low, 1.0).sqrt().masked_fill(low, 0.0)
    found: Tensor = _SafeSqrt.apply(squares, least)  # type: ignore[no-untyped-call]
    return found


class _SafeSqrt(torch.autograd.Function):
    """Compared to floats: on a CPU a mask of bool takes several times as long."""

    @staticmethod
    def forward(ctx: Any, squares: Tensor, least: Tensor) -> Tensor:
        found = torch.gt(squares, least, out=torch.empty_like(squares)).mul_(squares).sqrt_()
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (found,) = ctx.saved_tensors
        return over_twice(gradient, found), None


def over_twice(factor: Tensor, found: Tensor) -> Tensor:
    """A factor over twice a square root; 0 where that is 0."""
    if torch.is_grad_enabled():
        zero = found == 0.0
        return (factor / (2.0 * found.masked_fill(zero, 1.0))).masked_fill(zero, 0.0)
    return where_positive(torch.div(factor, found).mul_(0.5), found)


def where_positive(factor: Tensor, found: Tensor) -> Tensor:
    """A factor where another value is greater than 0, else 0; in one pass."""
    if torch.is_grad_enabled():
        return torch.where(found > 0.0, factor, 0.0)
    kept: Tensor = torch.ops.aten.threshold_backward(factor, found, 0.0)
    return kept


def safe_pow(values: Tensor, power: float) -> Tensor:
    """Values to a power, with gradient 0 at 0 for powers under 1, where the true one is infinite."""
    if power == 1.0:
        return values
    if power == 0.5:
        return safe_sqrt(values)
    if not 0.0 < power < 1.0:
        return values**power
    zero = values == 0.0
    return (values.masked_fill(zero, 1.0) ** power).masked_fill(zero, 0.0)


def normalize_rows(x: Tensor, p: float = 2.0) -> Tensor:
    """Rows of unit Lp norm; a row without length stays as it is, and passes its gradient on as it is."""
    if p == 2.0 and not needs_plain_operations(x):
        found: Tensor = _UnitRows.apply(x)  # type: ignore[no-untyped-call]
        return found
    if p == 2.0 or not x.shape[-1]:
        norms = row_norms(x)
        return x / _lengths(norms, norms <= MIN_NORM)
    # the powers of entries of ordinary size overflow and vanish, unless their largest is 1; the direction is the same
    largest = x.detach().abs().amax(-1, keepdim=True)
    rows = x / _lengths(largest, largest < torch.finfo(x.dtype).tiny)
    norms = torch.linalg.vector_norm(rows, p, dim=-1, keepdim=True)
    short = norms.detach() * largest < MIN_NORM
    return torch.where(short, x, rows) / _lengths(norms, short)


def row_norms(x: Tensor) -> Tensor:
    """The Euclidean norm of each row, `[..., 1]`: summed in float64, where the squares of float32 do not overflow."""
    wide = torch.float64 if x.device.type != "mps" else None  # which has none
    norms: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).to(x.dtype)
    return norms


def _lengths(norms: Tensor, short: Tensor) -> Tensor:
    """Norms to divide by: 1 in the place of those that are too short."""
    return norms.masked_fill(short, 1.0)


class _UnitRows(torch.autograd.Function):
    """u = x / |x|, whose derivative (I - u uᵀ) / |x| takes half of the operations of one put together.

    A short row is its own u, over a length of 1. Of what is along it nothing is left out then: u uᵀ is below rounding.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        lengths = torch.threshold(row_norms(x), MIN_NORM, 1.0)
        units = x / lengths
        ctx.save_for_backward(x, units, lengths)
        return units

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, units, lengths = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, of x, not of what was made of it
            norms = row_norms(x)
            short = norms <= MIN_NORM
            lengths = _lengths(norms, short)
            units = (x / lengths).masked_fill(short, 0.0)
        along = torch.linalg.vecdot(gradient, units).unsqueeze(-1)
        across: Tensor = torch.addcmul(gradient, along, units, value=-1.0) / lengths
        return across
