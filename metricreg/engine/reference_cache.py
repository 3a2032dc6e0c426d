"""What is made of the references of a batch once a step, such as their unit rows, instead of once a tile."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.batch import Made, Rowwise
from metricreg.engine.accumulate import ALL, Leaves, Name


class StepCache:
    """For one step, of a batch that is looked at as a whole: ordinary autograd.

    What is first asked for without a gradient, as by a miner, has its graph all the same.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, Tensor] = {}
        self._grad = torch.is_grad_enabled()

    def prepared(self, batch: Batch, key: Hashable, make: Rowwise, of: Made | None = None) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared`."""
        y = self._once((key, "references"), make, self._source(batch, of, 1))
        if batch.is_self_comparison:
            return y, y
        return self._once((key, "anchors"), make, self._source(batch, of, 0)), y

    def prepared_at(self, batch: Batch, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared_at`."""
        x, y = self.prepared(batch, key, make)
        return x, y[index]

    def of_references(self, batch: Batch, key: Hashable, make: Callable[[Tensor], Tensor], of: Made | None) -> Tensor:
        """As `Batch.of_references`."""
        return self._once((key, "whole"), make, self._source(batch, of, 1))

    def _source(self, batch: Batch, of: Made | None, which: int) -> Tensor:
        return (batch.anchors, batch.references)[which] if of is None else self.prepared(batch, *of)[which]

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

    def prepared(self, batch: Batch, key: Hashable, make: Rowwise, of: Made | None = None) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared`."""
        name = self.leaves.made_name(key, make, of)
        return self._anchors(batch, name, make, of), self.leaves.rows(name, self.references)

    def prepared_at(self, batch: Batch, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared_at`."""
        name = self.leaves.made_name(key, make, None)
        first = self.references.start or 0
        return self._anchors(batch, name, make, None), self.leaves.rows(name, index + first if first else index)

    def of_references(self, batch: Batch, key: Hashable, make: Callable[[Tensor], Tensor], of: Made | None) -> Tensor:
        """As `Batch.of_references`."""
        return self.leaves.rows(self.leaves.made_name(key, make, of), ALL)

    def _anchors(self, batch: Batch, name: Name, make: Rowwise, of: Made | None) -> Tensor:
        if self.alone:
            return self.leaves.rows(name, self.anchors)
        return self.leaves.of_anchors(name, lambda x: make(x if of is None else of[1](x)), batch.anchors)


if TYPE_CHECKING:
    from metricreg.batch.batch import Cache

    _: tuple[type[Cache], ...] = (StepCache, TileCache)
