"""Running state: the buffers of a loss as `terms` saw them, though `commit` has moved on since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class RunningState:
    """The buffers of a module at one moment.

    `commit` comes after the forward pass and before the backward pass, which looks at the same state once more: in the
    dense plan through what autograd saved, in the tiled plan by calling `terms` again.

    Args:
        module: whose buffers, those of the modules inside it included.
    """

    def __init__(self, module: nn.Module) -> None:
        self._buffers = [
            (owner, name, buffer)
            for owner in module.modules()
            for name, buffer in owner._buffers.items()
            if buffer is not None
        ]

    def part(self) -> None:
        """Leave the module with copies, which may change, and keep the tensors themselves."""
        for owner, name, buffer in self._buffers:
            owner._buffers[name] = buffer.clone()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The module with the buffers of then."""
        now = [owner._buffers[name] for owner, name, _ in self._buffers]
        for owner, name, then in self._buffers:
            owner._buffers[name] = then
        try:
            yield
        finally:
            for (owner, name, _), buffer in zip(self._buffers, now, strict=True):
                owner._buffers[name] = buffer
