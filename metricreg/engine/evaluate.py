"""Terms of a batch as the values that they stand for, dense or in tiles.

    total = Σ_terms finalize( Σ_tiles statistics(terms(tile)) )

The dense plan is one tile under plain autograd. `finalize` and whatever follows are ordinary autograd in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.engine import execution
from metricreg.engine.reference_cache import StepCache
from metricreg.engine.tiled import Output, Sweep
from metricreg.errors import MetricregError

Terms = Mapping[str, Term | Scalar]


class ReducerLike(Protocol):
    """What the engine asks of a reducer."""

    @property
    def additive(self) -> bool:
        """Whether `statistics` and `finalize` are there; else only `reduce` is."""

    def for_term(self, name: str) -> ReducerLike:
        """The reducer for a term."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Tensors that add up over disjoint sets of anchors."""

    def finalize(self, *statistics: Any, **unused: Any) -> Tensor:  # Any: whatever parameters a reducer names
        """The scalar that their totals stand for."""

    def reduce(self, term: Term) -> Any:
        """The same from the whole term at once."""


@dataclass(frozen=True)
class StepContext:
    """What the batch of one step asks the engine for: functions of all anchors, and a cache.

    The sweep of the terms does not go by it, but by what `evaluate_terms` is given.

    Args:
        tile: anchors a tile; None for all at once.
        module: whose parameters and buffers are used.
        symmetric: whether the distance of a pair is the same with its samples exchanged.
        dense: whether plain autograd is asked for.
    """

    tile: int | None
    module: nn.Module
    symmetric: bool
    dense: bool = False

    def lists_positives(self, batch: Batch) -> bool:
        """As `Batch.lists_positives`."""
        return execution.lists_positives(batch)

    def cache(self) -> StepCache:
        """A new one, for other embeddings."""
        return StepCache()

    def map(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """As `Batch.map`."""
        if self.tile is None:
            return function(batch)

        def rows(part: Batch) -> list[Output]:
            values = function(part)
            if values.shape[:1] != (len(part),):
                raise MetricregError(
                    f"a function given to Batch.map returned {list(values.shape)} for {len(part)} anchors; expected a "
                    "row an anchor"
                )
            return [(values, 0)]

        return Sweep(rows, self.tile, self.module, by_row=True, what="values of rows").outputs(batch)[0]

    def pair_sums(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """As `Batch.pair_sums`."""
        if self.tile is None or not (self.symmetric and batch.is_symmetric_comparison):
            return self.map(batch, lambda part: function(part).sum(1))

        def sums(part: Batch) -> list[Output]:
            pairs = function(part)
            return [(pairs.sum(1), 0), (pairs.sum(0), 0)]

        what = "sums over pairs, on and above the diagonal"
        return Sweep(sums, self.tile, self.module, by_row=True, symmetric=True, what=what).outputs(batch)[0]


@dataclass(frozen=True)
class TermValues:
    """What terms stand for.

    Args:
        values: each term's reduced value.
        statistics: the total statistics of each `Scalar`, detached. Those of a `Term` are its reducer's affair.
    """

    values: dict[str, Any]
    statistics: dict[str, tuple[Tensor, ...]]


def evaluate_terms(
    terms: Callable[[Batch], Terms],
    reducer: ReducerLike,
    batch: Batch,
    *,
    tile: int | None,
    module: nn.Module,
    symmetric: bool = False,
) -> TermValues:
    """Evaluate terms of a batch and reduce them.

    Args:
        terms: a pure function of some anchors against all references.
        reducer: how each term is reduced.
        batch: prepared; each of its floating tensors that requires grad gets its gradient.
        tile: anchors a tile; None for the dense plan.
        module: whose parameters and buffers `terms` uses; parameters that require grad get their gradient.
        symmetric: whether statistics are sums over pairs, equal where the samples of a pair are exchanged: half of
            the pairs of a symmetric batch are then enough for the tiled plan.
    """
    if tile is None:
        return reduce_terms(bind_terms(terms(batch), batch, terms), reducer)
    infos, totals = _tiled_statistics(terms, reducer, batch, tile, module, symmetric and batch.is_symmetric_comparison)
    return _finalized([(each, totals[each.span]) for each in infos])


def reduce_terms(terms: Terms, reducer: ReducerLike) -> TermValues:
    """Reduce terms of the whole batch, with plain autograd."""
    whole: dict[str, Any] = {}
    summed: list[tuple[StatisticsInfo, Sequence[Tensor]]] = []
    for name, term in terms.items():
        of_term = reducer.for_term(name)
        if isinstance(term, Term) and not of_term.additive:
            value = of_term.reduce(term)
            whole[name] = value if isinstance(value, Term) else _one_value(value, name, type(of_term).__name__)
        else:
            summed.append(term_statistics(name, term, reducer))
    found = _finalized(summed)
    values = {**found.values, **whole}
    return TermValues({name: values[name] for name in terms if name in values}, found.statistics)


def type_and_shape(value: Any) -> str:
    """What something is, for an error: its type, and its shape if it is a tensor."""
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def bind_terms(terms: Terms, batch: Batch, giver: Callable[..., Any]) -> Terms:
    """The terms, told which anchors they are of, their shapes checked.

    Args:
        terms: what a component gave.
        batch: of which anchors.
        giver: the method that gave them.
    """
    if not isinstance(terms, Mapping):
        owner = getattr(giver, "__qualname__", "terms")
        raise MetricregError(f"{owner} returned {type_and_shape(terms)}; expected a mapping of names to Term or Scalar")
    for name, term in terms.items():
        if isinstance(term, Term):
            term.bind(name, len(batch), batch.anchor_labels, batch.negative_mask_if_made)
        elif not isinstance(term, Scalar):
            owner = getattr(giver, "__qualname__", "terms")
            raise MetricregError(f"{owner} returned {type_and_shape(term)} for '{name}'; expected a Term or a Scalar")
    return terms


@dataclass(frozen=True)
class StatisticsInfo:
    """The statistics of a term, without their values, and what their totals stand for.

    Args:
        name: the term's.
        maker: the name of the class that gave the statistics: Scalar, or that of a reducer.
        finalize: the scalar of the totals; None if they stand for none.
        is_scalar: whether the statistics are the loss's own, not a reducer's.
        start: the position of the first among all statistics.
        shapes: theirs.
    """

    name: str
    maker: str
    finalize: Callable[..., Tensor] | None
    is_scalar: bool
    start: int
    shapes: tuple[torch.Size, ...]

    @property
    def span(self) -> slice:
        """The positions of the statistics."""
        return slice(self.start, self.start + len(self.shapes))


def term_statistics(name: str, term: Term | Scalar, reducer: ReducerLike) -> tuple[StatisticsInfo, tuple[Tensor, ...]]:
    """The statistics of a term, by its own definition or by a reducer's, and what they stand for."""
    by: Any = term if isinstance(term, Scalar) else reducer.for_term(name)
    given: Any = term.statistics if isinstance(term, Scalar) else by.statistics(term)
    maker = type(by).__name__
    if not isinstance(given, (tuple, list)) or not all(isinstance(s, Tensor) for s in given):
        held = ", ".join(map(type_and_shape, given)) if isinstance(given, (tuple, list)) else type_and_shape(given)
        raise MetricregError(f"the statistics of the term '{name}' by {maker} are {held}; expected a tuple of tensors")
    shapes = tuple(s.shape for s in given)
    return StatisticsInfo(name, maker, by.finalize, isinstance(term, Scalar), 0, shapes), tuple(given)


def _finalized(found: Sequence[tuple[StatisticsInfo, Sequence[Tensor]]]) -> TermValues:
    values = {
        each.name: _one_value(each.finalize(*totals), each.name, each.maker)
        for each, totals in found
        if each.finalize is not None
    }
    return TermValues(
        values, {each.name: tuple(t.detach() for t in totals) for each, totals in found if each.is_scalar}
    )


def _one_value(value: Any, name: str, maker: str) -> Tensor:
    """A scalar that a component made of a term."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise MetricregError(
            f"{maker} made {type_and_shape(value)} of the term '{name}'; expected a tensor with one value"
        )
    return value


def _tiled_statistics(
    terms: Callable[[Batch], Terms], reducer: ReducerLike, batch: Batch, tile: int, module: nn.Module, symmetric: bool
) -> tuple[list[StatisticsInfo], tuple[Tensor, ...]]:
    """What the statistics of all terms are, and their totals over the tiles, differentiable."""
    infos: list[StatisticsInfo] = []
    number = len(batch)

    def statistics(part: Batch) -> list[Output]:
        now, outputs = _statistics(terms, reducer, part)
        if infos:
            _check_same(infos, now)
        elif number > 1 and any(len(part) in s.shape for s, _ in outputs):
            # an anchor less, where a statistic might be a value an anchor, which no sum is
            with torch.no_grad():
                _check_same(now, _statistics(terms, reducer, part.rows(0, len(part) - 1))[0])
        infos[:] = now
        return outputs

    described = lambda: [[each.name, each.maker, list(map(list, each.shapes))] for each in infos]  # noqa: E731
    totals = Sweep(statistics, tile, module, symmetric=symmetric, described=described).outputs(batch)
    return infos, totals


def _statistics(
    terms: Callable[[Batch], Terms], reducer: ReducerLike, part: Batch
) -> tuple[list[StatisticsInfo], list[Output]]:
    """The statistics of all terms of some anchors: what they are, and themselves, with how many values those are of."""
    infos: list[StatisticsInfo] = []
    outputs: list[Output] = []
    for name, term in bind_terms(terms(part), part, terms).items():
        each, given = term_statistics(name, term, reducer)
        infos.append(replace(each, start=len(outputs)))
        size = term.size if isinstance(term, Term) else max((s.numel() for s in given), default=0)
        outputs += [(s, size) for s in given]
    return infos, outputs


def _check_same(before: Sequence[StatisticsInfo], now: Sequence[StatisticsInfo]) -> None:
    """Refuse terms or statistics that some anchors have and others lack."""
    for a, b in zip(before, now, strict=False):
        if a.name == b.name and a.shapes != b.shapes:
            shapes = [[list(shape) for shape in each.shapes] for each in (a, b)]
            raise MetricregError(
                f"the statistics of the term '{a.name}' by {a.maker} have the shapes {shapes[0]} for some anchors and "
                f"{shapes[1]} for others; statistics are sums over anchors, such as term.sum(), term.count() or a "
                "histogram, not a value an anchor"
            )
    names = [[each.name for each in some] for some in (before, now)]
    if names[0] != names[1]:
        raise MetricregError(
            f"terms gives {names[0]} for some anchors and {names[1]} for others; give every term every time, with a "
            "weight of zeros where it has nothing"
        )
