"""Inner products of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.functional.torch_internals import needs_plain_operations


def inner_products(x: Tensor, y: Tensor) -> Tensor:
    """X yᵀ, of `[..., X, D]` and `[..., Y, D]`: `[..., X, Y]`."""
    if x.ndim > 2 and x.shape[-2] == 1:  # of one row with a few each, which a product of matrices is slow for
        dots: Tensor = torch.linalg.vecdot(x, y)
        return dots[..., None, :]
    if x is not y or x.ndim != 2 or needs_plain_operations(x):
        return x @ y.mT
    found: Tensor = _OwnProducts.apply(x)  # type: ignore[no-untyped-call]
    return found


class _OwnProducts(torch.autograd.Function):
    """Of rows with each other, whose gradient is one product instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.mT

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return (gradient + gradient.mT) @ x
