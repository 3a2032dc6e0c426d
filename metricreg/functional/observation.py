"""Who watches the engine at work, such as `metricreg explain`, may have only some tiles of a sweep evaluated, and as
on another device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

Bounds = Iterator[tuple[int, int]]

Choose = Callable[[Bounds, str], Bounds]

_chosen: ContextVar[Choose | None] = ContextVar("_chosen", default=None)
_device: ContextVar[str | None] = ContextVar("_device", default=None)


def observed(tiles: Bounds, what: str = "") -> Bounds:
    """The tiles that are to be evaluated: all, unless somebody watches.

    Args:
        tiles: all of a sweep.
        what: what it makes of them, if it is not the terms of a loss.
    """
    choose = _chosen.get()
    return iter(tiles) if choose is None else choose(tiles, what)


@contextmanager
def observing(choose: Choose) -> Iterator[None]:
    """Have only some tiles of every sweep evaluated: what is computed is then wrong, and only its cost is of use.

    Args:
        choose: gives those to be evaluated, of tiles and what is made of them; it goes on when the tile that it gave
            has been.
    """
    token = _chosen.set(choose)
    try:
        yield
    finally:
        _chosen.reset(token)


def device_of(tensor: Tensor) -> str:
    """The type of the device by which the engine chooses how to go about it: where a tensor is, unless somebody
    watches who means another.
    """
    return tensor.device.type if torch.compiler.is_compiling() else _device.get() or tensor.device.type


@contextmanager
def as_on(device: str) -> Iterator[None]:
    """Have the engine choose as on a device of a type, wherever the tensors are."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)
