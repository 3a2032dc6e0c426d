"""Rehearsal: one step of a pipeline on random data, of whose many tiles only some are evaluated, and what was seen.

The engine, the losses and the miners are the real ones, so that this knows as much of a plugin as of what ships. All
tiles of a sweep cost the same but for the first, which makes what all need, and the last, which may be smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import wraps
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.batch.tuples import Pairs, Selection
from metricreg.components import Loss, Miner, Reducer
from metricreg.engine.execution import Bounds, Execution, as_on, observing
from metricreg.explanation.ledger import Ledger
from metricreg.explanation.seen import SeenLoss, SeenMiner, SeenTerm, statistic_seen, term_seen
from metricreg.pipeline import Pipeline

FIRST = 3
"""Tiles of a sweep that are evaluated, beside the last. One in the middle stands for those that are left out."""

TURNS = 1000
"""Most steps until a memory is filled."""


@dataclass(frozen=True)
class Inputs:
    """What a pipeline is called with.

    Args:
        embeddings: `[N, D]`, which want a gradient.
        labels: `[N]`, or None for a loss that makes its own.
        ref_embeddings: `[M, D]`, or None.
        ref_labels: `[M]`, or None.
    """

    embeddings: Tensor
    labels: Tensor | None
    ref_embeddings: Tensor | None = None
    ref_labels: Tensor | None = None


@dataclass(frozen=True)
class _Watched(Execution):
    """Says the same tiles as the execution that it stands for, and notes what it said."""

    dense: bool = False
    said: list[tuple[Batch, int, int | None]] = field(default_factory=list, compare=False)

    def tile_for(self, batch: Batch, width: int) -> int | None:
        """Anchors a tile."""
        tile = super().tile_for(batch, width)
        self.said.append((batch, width, tile))
        return None if self.dense else tile


def tile_on(device: str, execution: Execution, anchors: int, width: int) -> int | None:
    """Anchors a tile of a batch that is not there, as `Execution.tile_for`."""
    rows = torch.empty(anchors, 0)
    with as_on(device):
        return execution.tile_for(Batch(rows, rows), width)


class Rehearsal:
    """One step of a pipeline, watched.

    Args:
        pipeline: which is not to be used for anything else from then on.
        device: the type of the device that is meant; the step takes place where the inputs are.
        dense: evaluate densely, whatever the execution says.
        tile: evaluate in tiles of so many anchors, unless the execution says dense.

    Attributes:
        losses: what was seen of each loss that was evaluated, in turn.
        miners: what was seen of each miner.
        ledger: what the step cost.
    """

    def __init__(self, pipeline: Pipeline, device: str = "cpu", dense: bool = False, tile: int | None = None) -> None:
        self.pipeline = pipeline
        execution = pipeline.execution or Execution()
        if tile is not None and execution.plan != "dense":
            execution = Execution("tiled", tile=tile)
        self._execution = _Watched(execution.plan, execution.tile, dense)
        pipeline.execution = self._execution
        self._device = device
        self.losses: list[SeenLoss] = []
        self.miners: list[SeenMiner] = []
        self.ledger = Ledger()
        self._backward = False
        self._before: list[tuple[str, int]] = []
        self._terms: dict[str, SeenTerm] = {}
        for path, module in pipeline.named_modules():
            if isinstance(module, Loss):
                self._watch(module, "terms", self._saw_terms, path, module)
                self._watch(module, "once", self._saw_once, module)
            elif isinstance(module, Miner):
                self._watch(module, "selection", self._saw_selection, path, module)
            elif isinstance(module, Reducer):
                self._watch(module, "statistics", self._saw_statistics)

    def settle(self, inputs: Callable[[int], Inputs]) -> None:
        """Make steps until there is no more to compare with than before, as when a memory is filled."""
        compared = -1
        for turn in range(1, TURNS):
            with observing(lambda tiles, _: islice(tiles, 1)), as_on(self._device), torch.no_grad():
                self._forward(inputs(turn))
            before, compared = compared, sum(seen.references for seen in self.losses)
            self.losses, self.miners = [], []
            if compared <= before:
                return

    def _forward(self, inputs: Inputs) -> Any:
        return self.pipeline(
            inputs.embeddings, inputs.labels, ref_embeddings=inputs.ref_embeddings, ref_labels=inputs.ref_labels
        )

    def run(self, inputs: Inputs) -> None:
        """Forward and backward."""
        with observing(self._some), as_on(self._device), self.ledger:
            value = self._forward(inputs)
            wanting = [v for v in _scalars(value) if v.requires_grad]
            self._backward = True
            if wanting:
                torch.autograd.backward(torch.stack([v.sum() for v in wanting]).sum())

    def _some(self, tiles: Bounds, what: str) -> Bounds:
        bounds = list(tiles)
        if what and not self._backward:
            self._before.append((what, len(bounds)))
        if len(bounds) <= FIRST + 1:
            yield from bounds
            return
        yield from bounds[: FIRST - 1]
        before = self.ledger.account.copy()
        areas, middle = _areas(bounds), len(bounds) // 2
        yield bounds[middle]
        self.ledger.account.repeat_since(before, sum(areas[FIRST - 1 : -1]) / areas[middle] - 1.0)
        yield bounds[-1]

    def _watch(self, module: Any, method: str, see: Callable[..., None], *about: Any) -> None:
        """Have a method of one instance call `see` with what it was given and gave."""
        original = getattr(module, method)

        @wraps(original)
        def watched(given: Any) -> Any:
            out = original(given)
            see(*about, given, out)
            return out

        setattr(module, method, watched)

    def _saw_terms(self, path: str, loss: Loss, batch: Batch, terms: Any) -> None:
        if not self._backward and (not self.losses or self.losses[-1].loss is not loss or self._execution.said):
            said = self._execution.said
            whole, width, tile = said[-1] if said else (batch, None, None)
            said.clear()  # of what prepare asked of all rows, too
            self.losses.append(
                SeenLoss(
                    loss,
                    path,
                    len(whole),
                    len(whole.references),
                    tile,
                    width,
                    batch.anchors.dtype,
                    "" if whole.selection is None else type(whole.selection).__name__,
                    tile is not None and len(batch.references) < len(whole.references),
                    before=tuple(self._before),
                )
            )
            self._before = []
        seen = next((s for s in self.losses if s.loss is loss), None)
        if seen is None or not isinstance(terms, dict):
            return
        for name, term in terms.items():
            if name not in seen.terms and isinstance(term, Term | Scalar):
                seen.terms[name] = term_seen(term, batch)
            if name in seen.terms:
                seen.terms[name].again |= self._backward and torch.is_grad_enabled()
        self._terms = seen.terms

    def _saw_once(self, loss: Loss, batch: Batch, terms: Any) -> None:
        seen = next((s for s in self.losses if s.loss is loss), None)
        if seen is not None and isinstance(terms, dict):
            made = {name: term_seen(term, batch) for name, term in terms.items()}
            seen.terms |= {name: replace(term, once=True) for name, term in made.items()}

    def _saw_statistics(self, term: Term, statistics: Any) -> None:
        seen = self._terms.get(term.name)
        if seen is None or not isinstance(statistics, tuple | list):
            return
        now = [statistic_seen(s) for s in statistics]
        if seen.statistics is None or any(
            after[2] and not before[2] for before, after in zip(seen.statistics, now, strict=False)
        ):
            seen.statistics = now

    def _saw_selection(self, path: str, miner: Miner, batch: Batch, selection: Selection) -> None:
        columns = selection.columns()
        counts = (len(columns[0]), len(columns[2])) if isinstance(selection, Pairs) else (len(columns[0]),)
        self.miners.append(SeenMiner(miner, path, type(selection).__name__, counts, len(batch)))


def _areas(bounds: list[tuple[int, int]]) -> list[int]:
    """How much there is to do for each tile: for one of anchors that are later in half of a comparison, less."""
    lengths = [j - i for i, j in bounds]
    if len(set(lengths[:-1])) == 1:
        return lengths
    number = bounds[-1][1]
    return [length * (number - i) for length, (i, _) in zip(lengths, bounds, strict=True)]


def _scalars(value: Any) -> Iterator[Tensor]:
    """What there is to differentiate: the value, or with `do_nothing` the values of each term."""
    for part in value.values() if isinstance(value, dict) else [value]:
        if isinstance(part, Term):
            yield part.sum()
        elif isinstance(part, Tensor):
            yield part


__all__ = ["Inputs", "Rehearsal", "tile_on"]
