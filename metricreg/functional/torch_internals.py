"""The one place that asks torch what only its private names tell; each answer has a public way to do without."""

from __future__ import annotations

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


def in_backward() -> bool:
    """Whether a backward pass is at work, in which `torch.utils.checkpoint` computes forward passes again.

    Where torch does not tell, the answer is no.
    """
    return _graph_task is not None and not torch.compiler.is_compiling() and _graph_task() != -1


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
