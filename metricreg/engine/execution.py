"""How a loss is evaluated, never what it is: dense or in tiles, and every threshold by which that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.distributed.ranks import current
from metricreg.errors import MetricregError, SpecError
from metricreg.functional.torch_internals import is_transformed

PlanName = Literal["auto", "dense", "tiled"]
Distributed = Literal["auto", "off"]
Gradient = Literal["ddp", "sum"]
DENSE_HINT = 'build with "execution": {"plan": "dense"}, or call with execution=Execution(\'dense\')'

CPU_TILE_VALUES = 2**20
"""Values of one [tile, M] matrix: few enough to stay near the cache of a CPU."""
GPU_TILE_VALUES = 2**26
"""The same: enough to fill a GPU."""
MIN_TILE_ANCHORS = 64
"""Anchors that a tile should have, even if that takes more values,"""
MIN_BROADCAST_ANCHORS = 8
"""the same where a distance broadcasts, which takes many values a pair;"""
MAX_TILE_GROWTH = 16
"""up to so many times more: what is done to all references in each tile has to be little next to its products."""
MIN_LISTED_REFERENCES = 256
"""References up to which masks take less time than lists of columns."""
SEPARATE_GRADIENT_RATIO = 8
"""A statistic of so many times fewer values than another has a gradient of its own in the forward pass."""

MANY_CLASSES = 2**15
"""Classes that are looked at block by block, where the plan leaves the choice."""
CLASS_BLOCK_VALUES = 2**20
"""Logits of a block of classes."""


@dataclass(frozen=True)
class Execution:
    """How a loss is evaluated; never what it is.

    Args:
        plan: `dense` (all anchors at once, plain autograd), `tiled`, or `auto` (tiled where dense would be large).
        tile: anchors a tile, for `tiled` and `auto`; chosen from shapes and device if None.
        distributed: `auto` (a pipeline makes the loss of the rows of all ranks, where torch.distributed has more than
            one), or `off` (of this process's rows alone).
        gradient: of several ranks, what the embeddings of one get: `ddp` (the gradient of the loss times the number of
            ranks, as DDP and FSDP average over ranks) or `sum` (the gradient of the loss).
    """

    plan: PlanName = "auto"
    tile: int | None = None
    distributed: Distributed = "auto"
    gradient: Gradient = "ddp"

    def __post_init__(self) -> None:
        if self.distributed not in ("auto", "off") or self.gradient not in ("ddp", "sum"):
            raise SpecError(f"distributed is 'auto' or 'off', and gradient 'ddp' or 'sum'; got {self}")
        tile: Any = self.tile
        is_number = isinstance(tile, Integral) and not isinstance(tile, bool) and int(tile) >= 1
        if self.plan not in ("auto", "dense", "tiled") or not (tile is None or is_number):
            raise SpecError(
                f"plan is 'auto', 'dense' or 'tiled', and tile None or an integer of at least 1; got {self}"
            )
        if tile is not None:
            object.__setattr__(self, "tile", int(tile))  # of numpy's, too

    def tile_for(self, batch: Batch, width: int, values_per_pair: int = 1) -> int | None:
        """Anchors a tile for a loss with `width` values an anchor, or None for the dense plan.

        Args:
            batch: whose anchors.
            width: values an anchor.
            values_per_pair: how many its distance takes to make one of them: D where it broadcasts.
        """
        if self.plan == "dense" or torch.compiler.is_compiling():
            return None
        if is_transformed():
            if self.plan == "tiled":
                raise MetricregError("the tiled plan works in no transform of torch.func; " + DENSE_HINT)
            return None
        limit = tile_values(batch.anchors)
        made = len(batch.references) * values_per_pair
        if self.plan == "auto" and current() is None and len(batch) * max(width, made) <= limit:
            return None
        fewest = min(MIN_TILE_ANCHORS, MAX_TILE_GROWTH * limit // max(width, 1))
        size = max(1, limit // max(width, 1), fewest)
        if made > width:  # and so there is more to do for an anchor than to the references in a tile
            size = min(size, max(1, limit // made, min(MIN_BROADCAST_ANCHORS, MAX_TILE_GROWTH * limit // made)))
        return self.tile or size


def tile_values(tensor: Tensor) -> int:
    """Values of one [tile, M] matrix on the device of a tensor."""
    return CPU_TILE_VALUES if planning_device(tensor) == "cpu" else GPU_TILE_VALUES


def lists_positives(batch: Batch) -> bool:
    """Whether what is only about positives looks at K columns, not at M.

    Not with a selection, of few references, on a GPU, where finding K would wait, or when compiling, where K is no
    number.
    """
    if batch.selection is not None or torch.compiler.is_compiling():
        return False
    return len(batch.references) > MIN_LISTED_REFERENCES and planning_device(batch.anchors) == "cpu"


Bounds = Iterator[tuple[int, int]]
Choose = Callable[[Bounds, str], Bounds]

_chosen: ContextVar[Choose | None] = ContextVar("_chosen", default=None)
_device: ContextVar[str | None] = ContextVar("_device", default=None)


def sampled_tiles(tiles: Bounds, what: str = "") -> Bounds:
    """The tiles that are to be evaluated: all, unless somebody watches.

    Args:
        tiles: all of a sweep.
        what: what it makes of them, if it is not the terms of a loss.
    """
    choose = _chosen.get()
    return iter(tiles) if choose is None else choose(tiles, what)


@contextmanager
def sample_tiles(choose: Choose) -> Iterator[None]:
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


def planning_device(tensor: Tensor) -> str:
    """The type of the device by which the engine chooses how to go about it: where a tensor is, unless somebody
    watches who means another.
    """
    return tensor.device.type if torch.compiler.is_compiling() else _device.get() or tensor.device.type


@contextmanager
def assume_device(device: str) -> Iterator[None]:
    """Have the engine choose as on a device of a type, wherever the tensors are."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)
