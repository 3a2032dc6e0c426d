"""What a sweep differentiates: the leaves of its tiles, and the sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.engine.gradients import Gradients
from metricreg.engine.leaves import Leaf, alone, within
from metricreg.engine.operands import Operands, Window


@dataclass(frozen=True)
class Block:
    """Anchors of a batch against references of it, and how often their statistics count.

    Args:
        anchors: which anchors.
        references: which references, of a batch that is compared with itself; all if None.
        times: 2 for pairs that stand for those with their samples exchanged, too.
    """

    anchors: slice
    references: slice | None = None
    times: int = 1


@dataclass(frozen=True)
class _Tracked:
    """A leaf of a tile: the place of what it stands for among the inputs, and which rows of it."""

    leaf: Tensor
    at: int
    rows: slice | None


class Tracking:
    """Leaves of one tile after another, and the gradients of the inputs that they stand for.

    Args:
        batch: the whole batch.
        leaves: which of its tensors want a gradient.
        parameters: what else does.
        grad: whether gradients are made in this sweep.
    """

    def __init__(self, batch: Batch, leaves: Sequence[Leaf], parameters: Sequence[Tensor], grad: bool) -> None:
        self.batch, self.leaves, self.parameters, self.grad = batch, leaves, parameters, grad
        self._whole = {leaf: leaf.of(batch).detach().requires_grad_(grad) for leaf in leaves if not leaf.by_row}
        self._like = [leaf.of(batch) for leaf in leaves] + list(parameters)
        references = next((self._whole[leaf] for leaf in leaves if leaf.field == "references"), batch.references)
        self.operands = Operands(references)
        self._tracked: list[_Tracked] = []
        self._sums: dict[int, Gradients] = {}
        self._of_operands: dict[int, Gradients] = {}
        self._carrier = 0
        self.operands.sinks = self if grad else None

    def part(self, block: Block) -> Batch:
        """The batch of one tile, on leaves of its own."""
        batch, rows = self.batch, block.anchors
        part = batch.rows(rows.start, rows.stop)
        changes: dict[str, Any] = {"row": dict(part.row), "whole": dict(part.whole)}
        self._tracked = []
        for at, leaf in enumerate(self.leaves):
            fresh = self._fresh(leaf.of(batch), rows) if leaf.by_row else self._whole[leaf]
            mine = rows if leaf.by_row else None
            if leaf.field == "references" and block.references is not None:
                fresh, mine = self._fresh(batch.references, block.references), block.references
            self._tracked.append(_Tracked(fresh, at, mine))
            if leaf.key is None:
                changes[leaf.field] = fresh
            else:
                changes[leaf.field][leaf.key] = fresh
        if alone(batch) and "references" in changes:
            changes["anchors"] = self._fresh(batch.anchors, rows)
            self._tracked.append(_Tracked(changes["anchors"], 0, rows))
        made = (
            part.standing_in(**changes) if block.references is None else within(part, rows, block.references, **changes)
        )
        windows = [(made.references, block.references)]
        if alone(batch):
            windows.append((made.anchors, rows))
        self.operands.begin(windows)
        return made

    def _fresh(self, tensor: Tensor, rows: slice) -> Tensor:
        return tensor[rows].detach().requires_grad_(self.grad)

    @property
    def number(self) -> int:
        """How many inputs there are."""
        return len(self._like)

    @property
    def current(self) -> list[Tensor]:
        """All leaves of this tile, those that its terms made of references included."""
        made = [window.leaf for window in self.operands.windows]
        return [*(t.leaf for t in self._tracked), *self.parameters, *made]

    def add(self, carrier: int, value: Tensor, given: Tensor | None = None, again: bool = False) -> None:
        """Add the gradients of the current leaves.

        Args:
            carrier: which statistic they are of.
            value: what is differentiated.
            given: the gradient of that; 1 if None.
            again: whether the same tile is differentiated once more.
        """
        self._carrier = carrier
        sums = self._sums.setdefault(carrier, Gradients(self._like))
        made = self._of_operands.setdefault(carrier, Gradients(self.operands.sources))
        parts = iter(torch.autograd.grad(value, self.current, given, allow_unused=True, retain_graph=again))
        for tracked in self._tracked:
            sums.add(tracked.at, next(parts), tracked.rows)
        for at in range(len(self.leaves), len(self._like)):
            sums.add(at, next(parts))
        for window in self.operands.windows:
            made.add(window.of, next(parts), window.rows)

    def add_product(self, window: Window, gradient: Tensor, factor: Tensor) -> None:
        """Add to the gradient of what a leaf is rows of; called while `add` differentiates."""
        self._of_operands[self._carrier].add_product(window.of, gradient, factor, window.rows)

    def add_rows(self, window: Window, gradient: Tensor, index: Tensor) -> None:
        """Add to the gradient of some rows of what a leaf is rows of; called while `add` differentiates."""
        self._of_operands[self._carrier].add_rows(window.of, gradient, index, window.rows)

    def gradients(self) -> dict[int, list[Tensor | None]]:
        """By statistic, the gradient of each input: the tensors of the batch, then the parameters."""
        sources = {0: self.operands.references} if self._whole and self.operands.references.requires_grad else {}
        sources |= dict(enumerate(self.parameters, len(self.leaves)))
        for carrier, sums in self._sums.items():
            found = self.operands.passed_on(self._of_operands[carrier].totals, list(sources.values()))
            for at, part in zip(sources, found, strict=True):
                sums.add(at, part)
        return {carrier: sums.each() for carrier, sums in self._sums.items()}
