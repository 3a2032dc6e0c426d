"""What is made of the references of a batch once a step, such as their unit rows, instead of once a tile."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.engine.accumulate import ALL, Leaves, Name

Rowwise = Callable[[Tensor], Tensor]


class StepCache:
    """For one step, of a batch that is looked at as a whole: ordinary autograd.

    What is first asked for without a gradient, as by a miner, has its graph all the same.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, Tensor] = {}
        self._grad = torch.is_grad_enabled()

    def both(self, batch: Batch, key: Hashable, make: Rowwise) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared`."""
        y = self._once((key, "references"), make, batch.references)
        return y if batch.is_self_comparison else self._once((key, "anchors"), make, batch.anchors), y

    def listed(self, batch: Batch, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared_at`."""
        x, y = self.both(batch, key, make)
        return x, y[index]

    def whole(self, batch: Batch, key: Hashable, make: Callable[[Tensor], Tensor]) -> Tensor:
        """As `Batch.of_references`."""
        return self._once((key, "whole"), make, batch.references)

    def _once(self, key: Hashable, make: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        if key not in self._made:
            with torch.set_grad_enabled(self._grad):
                self._made[key] = make(tensor)
        return self._made[key]


class TileCache:
    """For one tile of a sweep: rows of what is made of all references, as leaves.

    Args:
        leaves: of the sweep.
        anchors: which rows of the whole batch the anchors of the tile are.
        references: which rows its references are.
        alone: whether the whole batch is compared with itself.
    """

    def __init__(self, leaves: Leaves, anchors: slice, references: slice, alone: bool) -> None:
        self.leaves, self.anchors, self.references, self.alone = leaves, anchors, references, alone

    def both(self, batch: Batch, key: Hashable, make: Rowwise) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared`."""
        name = self.leaves.made(key, make)
        return self._anchors(batch, name, make), self.leaves.rows(name, self.references)

    def listed(self, batch: Batch, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared_at`."""
        name = self.leaves.made(key, make)
        first = self.references.start or 0
        return self._anchors(batch, name, make), self.leaves.rows(name, index + first if first else index)

    def whole(self, batch: Batch, key: Hashable, make: Callable[[Tensor], Tensor]) -> Tensor:
        """As `Batch.of_references`."""
        return self.leaves.rows(self.leaves.made(key, make), ALL)

    def _anchors(self, batch: Batch, name: Name, make: Rowwise) -> Tensor:
        if self.alone:
            return self.leaves.rows(name, self.anchors)
        return self.leaves.of_anchors(name, make, batch.anchors)


if TYPE_CHECKING:
    from metricreg.batch.batch import Cache

    _: tuple[type[Cache], ...] = (StepCache, TileCache)
