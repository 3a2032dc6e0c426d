"""The parameters and buffers of a module as they were when a step began."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.func import functional_call

from metricreg.batch import Batch


def held_by(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def with_state(module: nn.Module, held: dict[str, Tensor]) -> Callable[..., Any]:
    """How to call a function while a module holds given tensors.

    The backward pass calls it again, when buffers may have moved on, and `torch.func.functional_call` put parameters
    back. The tensors are exchanged only if they are others, for meanwhile other threads see them.
    """
    now = held_by(module)
    others = {f"module.{name}": tensor for name, tensor in held.items() if tensor is not now.get(name)}
    if not others:
        return _call
    caller, lock = _Caller(module), _LOCKS.setdefault(module, RLock())

    def call(*given: Any) -> Any:
        with lock:  # or each would put back what it found, which may be what another had put there
            return functional_call(caller, others, given)

    return call


_LOCKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()


def _call(function: Callable[[Batch], Any], part: Batch) -> Any:
    return function(part)


class _Caller(nn.Module):
    """A module that calls a function while another holds other tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Callable[[Batch], Any], part: Batch) -> Any:
        return function(part)


def clone_buffers(module: nn.Module) -> None:
    """Leave a module with copies of its buffers, which may change, so that what others hold of it does not."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        setattr(module, name, buffer.clone())
    for part in module.children():
        clone_buffers(part)
