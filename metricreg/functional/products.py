"""Inner products of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.functional.transforms import once_read


def products(x: Tensor, y: Tensor) -> Tensor:
    """X yᵀ, of `[..., X, D]` and `[..., Y, D]`: `[..., X, Y]`."""
    if torch.compiler.is_compiling():
        return x @ y.mT
    if x is y and x.ndim == 2:
        found: Tensor = _OwnProducts.apply(x)  # type: ignore[no-untyped-call]
        return found
    if x.ndim > 2 and x.shape[-2] == 1:  # of one row with a few each, which a product of matrices is slow for
        dots: Tensor = torch.linalg.vecdot(x, y)
        return dots[..., None, :]
    return x @ y.mT


@once_read
class _OwnProducts(torch.autograd.Function):
    """Of rows with each other, whose gradient is one product instead of two."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x @ x.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return (gradient + gradient.mT) @ x

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        half = tangent @ x.mT
        return half + half.mT
