"""Functions with a finite gradient at zero, where embeddings coincide, vanish, or cost nothing any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SHORTEST = 1e-12
"""Norm under which a row has no direction."""


def root(squares: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where the true one is infinite."""
    if torch.compiler.is_compiling():  # which finds the passes by itself
        zero = squares == 0.0
        return squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)
    found: Tensor = _Root.apply(squares)  # type: ignore[no-untyped-call]
    return found


class _Root(torch.autograd.Function):
    """Square root whose derivative at 0 is 0, in few passes over memory."""

    generate_vmap_rule = True

    @staticmethod
    def forward(squares: Tensor) -> Tensor:
        return squares.sqrt()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        return _slope_times(gradient, found)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        return _slope_times(tangent, found)


def _slope_times(factor: Tensor, found: Tensor) -> Tensor:
    """A factor over twice a square root; 0 where that is 0."""
    if torch.is_grad_enabled():
        zero = found == 0.0
        return (factor / (2.0 * found.masked_fill(zero, 1.0))).masked_fill(zero, 0.0)
    return torch.div(factor, found).mul_(0.5).masked_fill_(found == 0.0, 0.0)


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
    if p == 2.0 or not x.shape[-1]:
        norms = torch.linalg.vector_norm(x, p, dim=-1, keepdim=True)
        return x / _lengths(norms, norms < SHORTEST)
    # the powers of entries of ordinary size overflow and vanish, unless their largest is 1; the direction is the same
    largest = x.detach().abs().amax(-1, keepdim=True)
    rows = x / _lengths(largest, largest < torch.finfo(x.dtype).tiny)
    norms = torch.linalg.vector_norm(rows, p, dim=-1, keepdim=True)
    short = norms.detach() * largest < SHORTEST
    return torch.where(short, x, rows) / _lengths(norms, short)


def _lengths(norms: Tensor, short: Tensor) -> Tensor:
    """Norms to divide by: 1 in the place of those that are too short."""
    return norms.masked_fill(short, 1.0)
