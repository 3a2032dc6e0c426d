"""The one place that asks torch what only its private names tell; each answer has a public way to do without."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

_graph_task: Callable[[], int] | None = getattr(torch._C, "_current_graph_task_id", None)
_active: Callable[[], bool] | None = getattr(torch._C, "_are_functorch_transforms_active", None)


def transforms_active() -> bool:
    """Whether a transform of `torch.func` is at work, in which some operations in place have no rule.

    Where torch does not tell, the answer is yes: what is done then is right everywhere, and slower.
    """
    return True if _active is None else bool(_active())


def is_transformed() -> bool:
    """The same; where torch does not tell, the answer is no."""
    return _active is not None and bool(_active())


def is_recomputing() -> bool:
    """Whether `torch.utils.checkpoint` computes a forward pass again, in a backward pass.

    Where torch does not tell whether one is at work, the answer is no.
    """
    if _graph_task is None or torch.compiler.is_compiling() or _graph_task() == -1:
        return False
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") != "torch.utils.checkpoint":
        frame = frame.f_back
    return frame is not None


def has_tangent(tensor: Tensor) -> bool:
    """Whether a derivative in forward mode goes with a tensor."""
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def has_hooks(tensor: Tensor) -> bool:
    """Whether hooks run when a tensor gets its gradient. Where torch does not tell, yes."""
    return bool(getattr(tensor, "_backward_hooks", True))


def needs_plain_operations(*tensors: Tensor) -> bool:
    """Whether a function of tensors is to be put together of torch's own operations: by a compiler, which finds the
    passes by itself, and where derivatives other than the first and second in reverse are taken.
    """
    return torch.compiler.is_compiling() or transforms_active() or any(map(has_tangent, tensors))
