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
        return dense(bound(terms(batch), batch, terms), reducer)
    sweep = _Sweep(terms, reducer, batch, tile, [p for p in parameters if p.requires_grad], state)
    totals = sweep.totals()
    values, statistics = {}, {}
    for summed, part in sweep.layout:
        values[summed.name] = summed.finalize(*totals[part])
        if summed.own:
            statistics[summed.name] = tuple(t.detach() for t in totals[part])
    return Folded(values, statistics)


def dense(terms: Terms, reducer: Additive) -> Folded:
    """Reduce terms of the whole batch, with plain autograd."""
    values: dict[str, Any] = {}
    statistics: dict[str, tuple[Tensor, ...]] = {}
    for name, term in terms.items():
        if isinstance(term, Term) and not reducer.for_term(name).additive:
            value = reducer.for_term(name).reduce(term)
            values[name] = value if isinstance(value, Term) else one_value(value, name, reducer.for_term(name))
            continue
        summed = _Summed.of(name, term, reducer)
        values[name] = summed.finalize(*summed.statistics)
        if summed.own:
            statistics[name] = tuple(s.detach() for s in summed.statistics)
    return Folded(values, statistics)


def bound(terms: Terms, batch: Batch, giver: Callable[..., Any]) -> Terms:
    """The terms, told which anchors they are of, their shapes checked.

    Args:
        terms: what a component gave.
        batch: of which anchors.
        giver: the method that gave them.
    """
    if not isinstance(terms, Mapping):
        raise MetricregError(
            f"{giver.__qualname__} returned {described(terms)}; expected a mapping of names to Term or Scalar"
        )
    for name, term in terms.items():
        if isinstance(term, Term):
            term.bind(name, len(batch), batch.anchor_labels)
        elif not isinstance(term, Scalar):
            raise MetricregError(
                f"{giver.__qualname__} returned {described(term)} for '{name}'; expected a Term or a Scalar"
            )
    return terms


def described(value: Any) -> str:
    """What something is, for an error: its type, and its shape if it is a tensor."""
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def one_value(value: Any, name: str, maker: object) -> Tensor:
    """A scalar that someone else's code made of a term."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise MetricregError(
            f"{type(maker).__name__} made {described(value)} of the term '{name}'; expected a tensor with one value"
        )
    return value


@dataclass(frozen=True)
class _Summed:
    """A term as statistics that add up over anchors.

    Args:
        name: the term's.
        statistics: of the anchors at hand.
        by: the Scalar itself, or the reducer of the Term.
    """

    name: str
    statistics: tuple[Tensor, ...]
    by: Any

    @classmethod
    def of(cls, name: str, term: Term | Scalar, reducer: Additive) -> _Summed:
        by: Any = term if isinstance(term, Scalar) else reducer.for_term(name)
        given: Any = term.statistics if isinstance(term, Scalar) else by.statistics(term)
        if not isinstance(given, tuple | list) or not all(isinstance(s, Tensor) for s in given):
            held = ", ".join(map(described, given)) if isinstance(given, tuple | list) else described(given)
            raise MetricregError(
                f"the statistics of the term '{name}' by {type(by).__name__} are {held}; expected a tuple of tensors"
            )
        return cls(name, tuple(given), by)

    @property
    def own(self) -> bool:
        return isinstance(self.by, Scalar)

    def finalize(self, *totals: Tensor) -> Tensor:
        return one_value(self.by.finalize(*totals), self.name, self.by)


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
        self.layout: list[tuple[_Summed, slice]] = []
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
                if i == 0:
                    self._check_sizes(statistics)
                    self._check_sources(statistics, tracked)
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
        for name, term in bound(self.terms(part), part, self.terms).items():
            summed = _Summed.of(name, term, self.reducer)
            layout.append((summed, slice(len(statistics), len(statistics) + len(summed.statistics))))
            statistics += summed.statistics
        self._check_layout(layout)
        self.layout = layout
        return statistics

    # -- what those who write losses and reducers promise -----------------------------------------------------------

    def _check_layout(self, layout: list[tuple[_Summed, slice]]) -> None:
        """Refuse terms or statistics that some anchors have and others lack."""
        for (then, _), (now, _) in zip(self.layout, layout, strict=False):
            shapes = [tuple(list(s.shape) for s in summed.statistics) for summed in (then, now)]
            if then.name == now.name and shapes[0] != shapes[1]:
                raise MetricregError(
                    f"the statistics of the term '{then.name}' by {type(now.by).__name__} have the shapes {shapes[0]} "
                    f"for some anchors and {shapes[1]} for others; statistics are sums over anchors, such as "
                    "term.sum(), term.count() or a histogram, not a value an anchor"
                )
        names = [[summed.name for summed, _ in one] for one in (self.layout, layout)]
        if self.layout and names[0] != names[1]:
            raise MetricregError(
                f"terms gives {names[0]} for some anchors and {names[1]} for others; give every term every time, with "
                "a weight of zeros where it has nothing"
            )

    def _check_sizes(self, statistics: list[Tensor]) -> None:
        """Look at one anchor more or less where a statistic might be a value an anchor, which no sum is."""
        size = min(self.tile, len(self.batch))
        if len(self.batch) > 1 and any(size in s.shape for s in statistics):
            with torch.no_grad():
                self._statistics(self._track(0, size - 1 if size > 1 else 2)[1])

    def _check_sources(self, statistics: list[Tensor], tracked: list[Tensor]) -> None:
        """Refuse a gradient that would get lost: of a tensor that is neither in the batch nor a parameter."""
        known = {id(t) for t in [*tracked, *self.parameters]}
        todo = [s.grad_fn for s in statistics if s.grad_fn is not None]
        seen = {p.grad_fn for p in self.parameters}
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            source = getattr(node, "variable", None)  # of a node that accumulates into a leaf
            if source is not None and id(source) not in known:
                raise MetricregError(
                    f"terms uses a tensor {list(source.shape)} that wants a gradient and is neither in the batch nor a "
                    "parameter of the loss; hand it over in prepare: batch.replace(row=...) or batch.replace(whole=...)"
                )
            todo += [following for following, _ in node.next_functions if following is not None]

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
