"""The parameters and buffers of a loss as `terms` saw them, though they have been replaced since."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

_SWAPPING = threading.RLock()


class ModuleState:
    """The tensors of a module at one moment.

    The tiled plan calls `terms` again in the backward pass, when `commit` may have moved buffers on, and
    `functional_call` put parameters back. Autograd's dense plan kept what it saw; here `terms` is shown it.

    Args:
        module: whose parameters and buffers, those of the modules inside it included.
    """

    def __init__(self, module: nn.Module) -> None:
        self._slots = [
            (store, name)
            for owner in module.modules()
            for store in (owner._parameters, owner._buffers)
            for name, tensor in store.items()
            if tensor is not None
        ]

    def tensors(self) -> list[Tensor]:
        """The tensors that the module has now."""
        with _SWAPPING:
            return [tensor for store, name in self._slots if (tensor := store[name]) is not None]

    @contextmanager
    def holding(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """The module with other tensors in the places of its own, if they are others. Other threads wait."""
        now = self.tensors()
        if all(a is b for a, b in zip(now, tensors, strict=True)):
            yield
            return
        with _SWAPPING:
            self._put(tensors)
            try:
                yield
            finally:
                self._put(now)

    def _put(self, tensors: Sequence[Tensor]) -> None:
        for (store, name), tensor in zip(self._slots, tensors, strict=True):
            store[name] = tensor  # type: ignore[assignment] # a parameter may be stood in for by any tensor


def part_from_buffers(module: nn.Module) -> None:
    """Leave a module with copies of its buffers, which may change, so that what others hold of it does not."""
    for owner in module.modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = buffer.clone()
