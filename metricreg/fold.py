"""The engine: evaluates a loss over tiles of anchors, exact in value and gradient, in the memory of a tile.

    total = Σ_terms finalize( Σ_tiles statistics(terms(batch.rows(tile))) )

The dense plan is one tile under plain autograd. The tiled plan lives in one `autograd.Function`, whose outputs are the
totals of the statistics; `finalize` and whatever follows stay ordinary autograd. Each tile runs its forward and its
backward at once and is forgotten, so that only gradients of the inputs' own size are kept.

Where one scalar statistic carries the gradient, its gradient is made with slope 1 in the forward pass and scaled in the
backward pass: three matrix products. Where several do, their slopes are known only in the backward pass, so the forward
pass sums without gradient and the backward pass sweeps once more for Σ slopeᵢ·statisticᵢ: four products, whatever their
number, and none of the four for a loss that is never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.errors import MetricregError, SpecError
from metricreg.running_state import RunningState
from metricreg.term import Scalar, Term

Terms = Mapping[str, Term | Scalar]
PlanName = Literal["auto", "dense", "tiled"]

# Values of one [tile, M] matrix: few enough to stay near the cache on a CPU, enough to fill a GPU.
CPU_VALUES = 2**21
GPU_VALUES = 2**26


class Additive(Protocol):
    """What the engine asks of a reducer."""

    @property
    def additive(self) -> bool:
        """Whether `statistics` and `finalize` are there; else only `reduce` is."""

    def for_term(self, name: str) -> Additive:
        """The reducer for a term."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Tensors that add up over disjoint sets of anchors."""

    def finalize(self, *statistics: Tensor) -> Tensor:
        """The scalar that their totals stand for."""

    def reduce(self, term: Term) -> Any:
        """The same from the whole term at once."""


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
        limit = CPU_VALUES if batch.anchors.device.type == "cpu" else GPU_VALUES
        if self.plan == "auto" and len(batch) * width <= limit:
            return None
        return self.tile or max(1, limit // max(width, 1))


@dataclass(frozen=True)
class Folded:
    """What a fold gives.

    Args:
        values: each term's reduced value.
        statistics: each term's total statistics, detached; empty for terms that were reduced whole.
    """

    values: dict[str, Any]
    statistics: dict[str, tuple[Tensor, ...]]


def fold(
    terms: Callable[[Batch], Terms],
    reducer: Additive,
    batch: Batch,
    *,
    tile: int | None,
    parameters: Sequence[Tensor] = (),
    state: RunningState | None = None,
) -> Folded:
    """Evaluate terms of a batch and reduce them.

    Args:
        terms: a pure function of some anchors against all references.
        reducer: how each term is reduced.
        batch: prepared; each of its floating tensors that requires grad gets its gradient.
        tile: anchors a tile; None for the dense plan.
        parameters: tensors that `terms` uses besides the batch, and that get a gradient if they require it.
        state: buffers that `terms` reads and that change before the backward pass.
    """
    if tile is None:
        return dense(bound(terms(batch), batch), reducer)
    sweep = _Sweep(terms, reducer, batch, tile, [p for p in parameters if p.requires_grad], state)
    totals = sweep.totals()
    values, statistics = {}, {}
    for name, finalize, part in sweep.layout:
        values[name] = finalize(*totals[part])
        statistics[name] = tuple(t.detach() for t in totals[part])
    return Folded(values, statistics)


def dense(terms: Terms, reducer: Additive) -> Folded:
    """Reduce terms of the whole batch, with plain autograd."""
    values: dict[str, Any] = {}
    statistics: dict[str, tuple[Tensor, ...]] = {}
    for name, term in terms.items():
        if isinstance(term, Scalar):
            values[name], statistics[name] = term.finalize(*term.statistics), term.statistics
        elif reducer.for_term(name).additive:
            of_term = reducer.for_term(name)
            statistics[name] = of_term.statistics(term)
            values[name] = of_term.finalize(*statistics[name])
        else:
            values[name] = reducer.for_term(name).reduce(term)
    return Folded(values, {name: tuple(s.detach() for s in given) for name, given in statistics.items()})


def bound(terms: Terms, batch: Batch) -> Terms:
    """The terms, told which anchors they are of, their shapes checked."""
    for name, term in terms.items():
        if isinstance(term, Term):
            term.bind(name, len(batch), batch.anchor_labels)
        elif not isinstance(term, Scalar):
            raise MetricregError(f"terms() returned {type(term).__name__} for '{name}'; expected a Term or a Scalar")
    return terms


@dataclass(frozen=True)
class _Leaf:
    """A tensor of the prepared batch that wants a gradient: which field, which key of it, and whether it has rows."""

    field: str
    key: str | None
    value: Tensor
    by_row: bool


class _Sweep:
    """All tiles of one batch."""

    def __init__(
        self,
        terms: Callable[[Batch], Terms],
        reducer: Additive,
        batch: Batch,
        tile: int,
        parameters: list[Tensor],
        state: RunningState | None,
    ) -> None:
        self.terms, self.reducer, self.batch, self.tile = terms, reducer, batch, tile
        self.parameters, self.state = parameters, state
        self.compared_with_itself = batch.anchors is batch.references
        self.leaves = [leaf for leaf in self._leaves() if leaf.value.is_floating_point() and leaf.value.requires_grad]
        self.inputs = [leaf.value for leaf in self.leaves] + parameters
        self.layout: list[tuple[str, Callable[..., Tensor], slice]] = []
        self.carriers: list[int] = []

    def _leaves(self) -> list[_Leaf]:
        batch = self.batch
        leaves = [] if self.compared_with_itself else [_Leaf("anchors", None, batch.anchors, True)]
        leaves += [_Leaf("references", None, batch.references, False)]
        if batch.weights is not None:
            leaves += [_Leaf("weights", None, batch.weights, True)]
        leaves += [_Leaf("row", key, value, True) for key, value in batch.row.items()]
        return leaves + [_Leaf("whole", key, value, False) for key, value in batch.whole.items()]

    def totals(self) -> tuple[Tensor, ...]:
        """The statistics of the whole batch, differentiable with respect to the leaves and the parameters."""
        if self.inputs and torch.is_grad_enabled():
            return _Fold.apply(self, *self.inputs)  # type: ignore[no-any-return, no-untyped-call]
        with torch.no_grad():
            return tuple(self.run(None)[0])

    def run(self, slopes: Sequence[Tensor] | None) -> tuple[list[Tensor], list[Tensor] | None]:
        """Sum the statistics over all tiles; with slopes, also the gradient of Σ slopeᵢ·statisticᵢ.

        An empty list of slopes asks for the gradient if, and only if, a single scalar statistic carries one.
        """
        totals: list[Tensor] = []
        gradients = None if slopes is None else [torch.zeros_like(t) for t in self.inputs]
        carriers: set[int] = set()  # of all tiles: one without positives, say, may carry less than the next
        for i, j in self.batch.tiles(self.tile):
            with torch.set_grad_enabled(gradients is not None):
                tracked, part = self._track(i, j)
                statistics = self._statistics(part)
                if gradients is not None:
                    here = [k for k, s in enumerate(statistics) if s.requires_grad]
                    carriers.update(here)
                    if not slopes and (len(carriers) > 1 or any(statistics[k].ndim for k in here)):
                        gradients = None  # several slopes are needed, and they are known only in the backward pass
                    elif here:
                        weighed = [(slopes[k] * statistics[k]).sum() if slopes else statistics[k] for k in here]
                        self._accumulate(gradients, sum(weighed[1:], weighed[0]), tracked, i, j)
            done = [s.detach() for s in statistics]
            totals = [a + b for a, b in zip(totals, done, strict=True)] if totals else done
        self.carriers = sorted(carriers)
        return totals, gradients

    def _track(self, i: int, j: int) -> tuple[list[Tensor], Batch]:
        """The batch of one tile, on leaves of its own, and those leaves."""
        grad = torch.is_grad_enabled()
        part = self.batch.rows(i, j)
        changes: dict[str, Any] = {"row": dict(part.row), "whole": dict(part.whole)}
        tracked = []
        for leaf in self.leaves:
            fresh = (leaf.value[i:j] if leaf.by_row else leaf.value).detach().requires_grad_(grad)
            tracked.append(fresh)
            if leaf.key is None:
                changes[leaf.field] = fresh
            else:
                changes[leaf.field][leaf.key] = fresh
        if self.compared_with_itself and self.leaves and self.leaves[0].field == "references":
            changes["anchors"] = self.batch.anchors[i:j].detach().requires_grad_(grad)
            tracked.append(changes["anchors"])
        fresh_part = part.replace(**changes)
        fresh_part._memo.update(part._memo)
        return tracked, fresh_part

    def _statistics(self, part: Batch) -> list[Tensor]:
        statistics: list[Tensor] = []
        layout = []
        for name, term in bound(self.terms(part), part).items():
            if isinstance(term, Scalar):
                finalize, given = term.finalize, term.statistics
            else:
                of_term = self.reducer.for_term(name)
                finalize, given = of_term.finalize, of_term.statistics(term)
            layout.append((name, finalize, slice(len(statistics), len(statistics) + len(given))))
            statistics += given
        self.layout = layout
        return statistics

    def _accumulate(self, gradients: list[Tensor], target: Tensor, tracked: list[Tensor], i: int, j: int) -> None:
        found = list(torch.autograd.grad(target, [*tracked, *self.parameters], allow_unused=True))
        if len(tracked) > len(self.leaves):  # the anchors of a batch that is compared with itself are its rows too
            anchors = found.pop(len(self.leaves))
            if anchors is not None:
                gradients[0][i:j] += anchors
        for gradient, part, leaf in zip(
            gradients, found, [*self.leaves, *([None] * len(self.parameters))], strict=True
        ):
            if part is not None:
                (gradient[i:j] if leaf is not None and leaf.by_row else gradient).add_(part)


class _Fold(torch.autograd.Function):
    """Leaves and parameters in, totals of the statistics out."""

    @staticmethod
    def forward(ctx: Any, sweep: _Sweep, *inputs: Tensor) -> tuple[Tensor, ...]:
        totals, gradients = sweep.run(())
        ctx.sweep = sweep
        ctx.single = gradients is not None
        ctx.save_for_backward(*(inputs if gradients is None else gradients))
        ctx.mark_non_differentiable(*(t for t in totals if not t.is_floating_point()))
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise MetricregError(
                'the tiled plan has no second derivative; build with "execution": {"plan": "dense"}, '
                "or call with execution=Execution('dense')"
            )
        saved = ctx.saved_tensors
        sweep: _Sweep = ctx.sweep
        if ctx.single:
            scale = sum(slopes[k] for k in sweep.carriers)  # of none or one
            return (None, *(scale * gradient for gradient in saved))
        then = nullcontext() if sweep.state is None else sweep.state.restored()
        with then, torch.autocast(sweep.batch.anchors.device.type, enabled=False):  # all as in the forward pass
            _, gradients = sweep.run(slopes)
        assert gradients is not None
        return (None, *gradients)
