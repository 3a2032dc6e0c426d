"""Who watches the engine at work, such as `metricreg explain`, may have only some tiles of a sweep evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Bounds = Iterator[tuple[int, int]]

_chosen: ContextVar[Callable[[Bounds], Bounds]] = ContextVar("_chosen", default=iter)


def observed(tiles: Bounds) -> Bounds:
    """The tiles that are to be evaluated: all, unless somebody watches."""
    return _chosen.get()(tiles)


@contextmanager
def observing(choose: Callable[[Bounds], Bounds]) -> Iterator[None]:
    """Have only some tiles of every sweep evaluated: what is computed is then wrong, and only its cost is of use.

    Args:
        choose: gives those to be evaluated; it goes on when the tile that it gave has been.
    """
    token = _chosen.set(choose)
    try:
        yield
    finally:
        _chosen.reset(token)
