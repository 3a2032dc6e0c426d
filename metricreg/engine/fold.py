"""The engine: evaluates a loss over tiles of anchors, exact in value and gradient, in the memory of a tile.

    total = Σ_terms finalize( Σ_tiles statistics(terms(batch.rows(tile))) )

The dense plan is one tile under plain autograd. The tiled plan is in `sweep`; it gives the totals of the statistics.
`finalize` and whatever follows stay ordinary autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.engine.leaves import mirrors
from metricreg.engine.reduction import Additive, Terms, bound, one_value, summed
from metricreg.engine.row_sweep import RowSweep
from metricreg.engine.sweep import Sweep
from metricreg.errors import SpecError
from metricreg.functional.observation import device_of

PlanName = Literal["auto", "dense", "tiled"]

# Values of one [tile, M] matrix: few enough to stay near the cache on a CPU, enough to fill a GPU.
CPU_VALUES = 2**20
GPU_VALUES = 2**26
ROWS = 64
"""Anchors that a tile should have, even if that takes more values."""
LARGER = 16
"""How many times more."""


@dataclass(frozen=True)
class Execution:
    """How a loss is evaluated; never what it is.

    Args:
        plan: `dense` (all anchors at once, plain autograd), `tiled`, or `auto` (tiled where dense would be large).
        tile: anchors a tile, for `tiled` and `auto`; chosen from shapes and device if None.
    """

    plan: PlanName = "auto"
    tile: int | None = None

    def __post_init__(self) -> None:
        if self.plan not in ("auto", "dense", "tiled") or (self.tile is not None and self.tile < 1):
            raise SpecError(f"plan is 'auto', 'dense' or 'tiled', and tile None or at least 1; got {self}")

    def tile_for(self, batch: Batch, width: int) -> int | None:
        """Anchors a tile for a loss with `width` values an anchor, or None for the dense plan."""
        if self.plan == "dense" or torch.compiler.is_compiling():
            return None
        limit = CPU_VALUES if device_of(batch.anchors) == "cpu" else GPU_VALUES
        if self.plan == "auto" and len(batch) * width <= limit:
            return None
        # what a tile does to all references, such as normalising them, has to be little next to its products
        enough = min(ROWS, LARGER * limit // max(width, 1))
        return self.tile or max(1, limit // max(width, 1), enough)


@dataclass(frozen=True)
class Engine:
    """How what `prepare` asks of all rows is found.

    Args:
        tile: anchors a tile; None for all at once.
        module: whose parameters and buffers are used.
        of_pairs: whether what is the same with the samples of a pair exchanged may be looked at once.
        dense: whether plain autograd is asked for.
    """

    tile: int | None
    module: nn.Module
    of_pairs: bool
    dense: bool = False

    def map(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """`function` of each tile, concatenated."""
        return function(batch) if self.tile is None else RowSweep(function, self.tile, self.module).values(batch)

    def totals(
        self, batch: Batch, terms: Callable[[Batch], Terms], symmetric: bool
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Sum and count of each term."""
        reducer = _SumAndCount()
        if self.tile is None:
            found = bound(terms(batch), batch, terms)
            return {name: reducer.statistics(term) for name, term in found.items() if isinstance(term, Term)}
        symmetric = symmetric and self.of_pairs and mirrors(batch)
        sweep = Sweep(terms, reducer, self.tile, self.module, symmetric)
        totals = sweep.totals(batch)
        return {place.finalizer.name: totals[place.span] for place in sweep.layout}  # type: ignore[misc]


class _SumAndCount:
    """A reducer that keeps its statistics."""

    additive = True

    def for_term(self, name: str) -> _SumAndCount:
        return self

    def statistics(self, term: Term) -> tuple[Tensor, Tensor]:
        return term.sum(), term.count()

    def finalize(self, *statistics: Tensor) -> Tensor:
        raise NotImplementedError

    def reduce(self, term: Term) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Folded:
    """What a fold gives.

    Args:
        values: each term's reduced value.
        statistics: the total statistics of each `Scalar`, detached. Those of a `Term` are its reducer's affair.
    """

    values: dict[str, Any]
    statistics: dict[str, tuple[Tensor, ...]]


def fold(
    terms: Callable[[Batch], Terms],
    reducer: Additive,
    batch: Batch,
    *,
    tile: int | None,
    module: nn.Module,
    symmetric: bool = False,
) -> Folded:
    """Evaluate terms of a batch and reduce them.

    Args:
        terms: a pure function of some anchors against all references.
        reducer: how each term is reduced.
        batch: prepared; each of its floating tensors that requires grad gets its gradient.
        tile: anchors a tile; None for the dense plan.
        module: whose parameters and buffers `terms` uses; parameters that require grad get their gradient.
        symmetric: whether statistics are sums over pairs, equal where the samples of a pair are exchanged: half of
            the pairs of a batch that is compared with itself are then enough for the tiled plan.
    """
    if tile is None:
        return dense(bound(terms(batch), batch, terms), reducer)
    sweep = Sweep(terms, reducer, tile, module, symmetric and mirrors(batch))
    totals = sweep.totals(batch)
    values, statistics = {}, {}
    for place in sweep.layout:
        if place.finalizer.make is not None:
            values[place.finalizer.name] = place.finalizer(totals[place.span])
        if place.finalizer.own:
            statistics[place.finalizer.name] = tuple(t.detach() for t in totals[place.span])
    return Folded(values, statistics)


def dense(terms: Terms, reducer: Additive) -> Folded:
    """Reduce terms of the whole batch, with plain autograd."""
    values: dict[str, Any] = {}
    statistics: dict[str, tuple[Tensor, ...]] = {}
    for name, term in terms.items():
        of_term = reducer.for_term(name)
        if isinstance(term, Term) and not of_term.additive:
            value = of_term.reduce(term)
            values[name] = value if isinstance(value, Term) else one_value(value, name, type(of_term).__name__)
            continue
        finalizer, given = summed(name, term, reducer)
        if finalizer.make is not None:
            values[name] = finalizer(given)
        if finalizer.own:
            statistics[name] = tuple(s.detach() for s in given)
    return Folded(values, statistics)
