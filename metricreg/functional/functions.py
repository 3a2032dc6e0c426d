"""Functions with a gradient of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad


class Function(torch.autograd.Function):
    """A differentiable function of positional arguments.

    torch reads the signature of such a function anew at each call, to find defaults, which takes longer than a small
    function itself. Nothing is read here.
    """

    @classmethod
    def apply(cls, *given: Any) -> Any:
        """The function."""
        if transformed():
            return super().apply(*given)  # type: ignore[no-untyped-call]
        return super(torch.autograd.Function, cls).apply(*unwrap_dead_wrappers(given))  # type: ignore[misc]


def has_tangent(tensor: Tensor) -> bool:
    """Whether a derivative in forward mode goes with a tensor."""
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def transformed() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return bool(_are_functorch_transforms_active())
