"""Plans: whether a batch that is gone over in tiles gives what it gives at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Loss, Miner
from metricreg.engine.evaluate import bind_terms, term_statistics
from metricreg.engine.execution import Execution
from metricreg.losses import ContrastiveLoss, MarginLoss, NTXentLoss, TripletMarginLoss
from metricreg.reducers import MeanReducer
from metricreg.testing.check import check, fail, skip
from metricreg.testing.checks.batches import TIED, degenerate
from metricreg.testing.example import Example, state_of
from metricreg.testing.inputs import Inputs, batch_of, rows_like
from metricreg.testing.results import DENSE, Result, difference, draws, result, selected
from metricreg.testing.terms import forms_of

TILES = (1, 5, 100)
ONE_TILE = (5,)
"""Anchors a tile: of usual rows, and of all other batches."""
STEPS = 3
USUAL = "usual rows"
PAIRS = ([0, 3, 0, 1], [3, 6, 3, 4], [0, 1, 0], [1, 2, 1])
TRIPLETS = ([0, 3, 0, 1], [3, 0, 3, 4], [1, 2, 1, 0])
"""Some tuples of few rows; the first is listed twice."""
SUMS = MeanReducer()
"""What is asked for the statistics of a loss's terms: sums and counts."""
Statistics = Callable[[Tensor], Result]
Whole = Callable[[Result, int], tuple[Result, Result]]
HOSTS: dict[str, tuple[type[Loss], ...]] = {
    "distance": (ContrastiveLoss, NTXentLoss),
    "reducer": (ContrastiveLoss, TripletMarginLoss, MarginLoss),
    "match": (ContrastiveLoss, NTXentLoss),
}
"""Losses that a component of another kind is tried in: on pairs, on all negatives, on triplets, with a divisor."""


@check(
    "loss",
    "distance",
    "reducer",
    "match",
    mend="let terms look at its batch, parameters and buffers alone, and make what needs all anchors in prepare",
    after=("is_pure", "adds_up", "is_the_same_for_every_question", "prepares_each_row_by_itself"),
)
def is_equal_in_tiles(example: Example) -> None:
    """The tiled plan gives the value, the gradients and, over several steps, the state that the dense one gives."""
    found = False
    for where, make in _hosted(example):
        for what, inputs in _batches(example.inputs, several=example.kind == "loss"):
            steps = STEPS if what == USUAL else 1
            try:
                want = _steps(without_marks(make()), inputs, DENSE, steps)
            except Exception:  # what it is not for, or bears not, which another check says
                continue
            found = True
            for tile in TILES if what == USUAL else ONE_TILE:
                got = _steps(without_marks(make()), inputs, Execution("tiled", tile=tile), steps)
                if what == TIED:
                    got, want = _values(got), _values(want)
                differs = difference(got, want, 1e-9)
                if differs:
                    fail(f"{where}of {what}, in tiles of {tile}, {differs}")
    if not found:
        skip("no loss that was tried takes it")


def _values(found: Result) -> Result:
    """Without gradients: of two distances that are equal, each has one that is right."""
    return {name: value for name, value in found.items() if "gradient" not in name}


def without_marks(component: Any) -> Any:
    """The same without the marks of it and of those in it: whether those are true is a check of its own."""
    for part in component.modules():
        for name in ("terms", "matrix", "statistics"):
            method = getattr(type(part), name, None)
            if method is not None:
                object.__setattr__(part, name, partial(method, part))
    return component


def _hosted(example: Example) -> Iterator[tuple[str, Callable[[], Any]]]:
    """How losses are made in which the component stands: itself, if it is one."""
    if example.kind == "loss":
        yield "", example.make
        return
    for loss in HOSTS[example.kind]:
        yield f"in {loss.__name__}, ", partial(_host, loss, example)


def _host(loss: type[Loss], example: Example) -> Loss:
    return loss(**{example.kind: example.make()})


def _batches(inputs: Inputs, several: bool) -> Iterator[tuple[str, Inputs]]:
    yield USUAL, inputs
    if inputs.ref_embeddings is None:
        few = inputs.first(7)
        other = rows_like(few.embeddings, seed=5)
        yield "rows and references", replace(inputs, ref_embeddings=other, ref_labels=few.labels)
    if several and len(inputs) > 7:
        yield "listed pairs", replace(inputs, tuples=PAIRS)
        yield "listed triplets", replace(inputs, tuples=TRIPLETS)
    if several:
        yield from degenerate(inputs)
        bad = inputs.embeddings.clone()
        bad[len(bad) // 2, -1] = torch.nan
        yield "a NaN", replace(inputs, embeddings=bad)


def _steps(loss: Any, inputs: Inputs, execution: Execution, steps: int) -> Result:
    """What some steps make, or one where there is no state, and the state that they leave."""
    found: Result = {}
    for step in range(steps if any(True for _ in loss.buffers()) else 1):
        made = result(loss, inputs if step == 0 else inputs.again(step), execution)
        found |= {f"in step {step + 1} {name}": value for name, value in made.items()}
    return found | {f"after {step + 1} steps the state '{name}'": value for name, value in state_of(loss).items()}


@check("miner", mend="let select go by each anchor and all references; what has to see all anchors at once is mine's")
def selects_for_each_anchor_by_itself(example: Example) -> None:
    """What `select` finds for an anchor does not depend on which other anchors it is asked for with it."""
    miner, batch = example.make(), batch_of(example.inputs)
    if type(miner).select is Miner.select or type(miner).mine is not Miner.mine:
        skip("it sees all anchors at once")
    if draws(example.make(), example.inputs):
        skip("it draws at random")
    batch = batch if miner.match is None else batch.with_match(miner.match)
    with torch.no_grad():
        want = miner.select(batch)
        for size in (1, 5):
            parts = [miner.select(batch.rows(i, j)).offset_anchors(i) for i, j in batch.tiles(size)]
            columns = [torch.cat(each) for each in zip(*(part.columns() for part in parts), strict=True)]
            found = difference(selected(want.with_columns(columns)), selected(want), 0.0)
            if found:
                fail(f"asked for {size} at a time, {found}")


@check(
    "loss",
    "reducer",
    mend="let statistics be sums over anchors, such as term.sum() and term.count(), and divide in finalize; where no "
    "sums say what the result is, a reducer implements reduce in their place",
    after=("is_pure",),
)
def adds_up(example: Example) -> None:
    """The statistics of some anchors and of others, in any order, add up to those of all; `finalize` goes by those."""
    for what, count, statistics, whole in _statistics(example):
        total = statistics(torch.arange(count))
        for parts in _splits(count, runs=example.kind == "loss"):
            some = [statistics(part) for part in parts]
            if any(each.keys() != total.keys() for each in some):
                fail(f"{what}there are the statistics {list(total)} of all anchors, and others of some")
            added = {name: torch.stack([each[name] for each in some]).sum(0) for name in total}
            found = difference(added, total, 1e-9)
            if found:
                sizes = " and ".join(str(len(part)) for part in parts)
                fail(f"{what}of {sizes} anchors added up, {found}")
        if whole is not None:
            found = difference(*whole(total, count), 1e-9)
            if found:
                fail(f"{what}of the totals, {found}")


def _statistics(example: Example) -> Iterator[tuple[str, int, Statistics, Whole | None]]:
    """Of what and of how many anchors there are statistics, how those of some are made, and what totals stand for."""
    component, inputs = example.make(), example.inputs
    if example.kind == "loss":
        if type(component).evaluate is not Loss.evaluate:
            skip("it is made of losses, each with terms of its own")
        yield "", len(inputs), _of_loss(component, inputs), None
        return
    if not component.additive:
        skip("it reduces whole terms")
    for what, make in forms_of(inputs).items():
        yield f"of {what}, ", len(inputs), *_of_reducer(component, make)


def _of_reducer(reducer: Any, make: Callable[[Tensor], Term]) -> tuple[Statistics, Whole]:
    def statistics(index: Tensor) -> Result:
        term = make(index)
        found = reducer.for_term(term.name).statistics(term)
        return {f"statistic {k}": value for k, value in enumerate(found)}

    def whole(totals: Result, count: int) -> tuple[Result, Result]:
        term = make(torch.arange(count))
        own = reducer.for_term(term.name)
        return {"the value": own.finalize(*totals.values())}, {"the value": own.reduce(term)}

    return statistics, whole


def _of_loss(loss: Loss, inputs: Inputs) -> Statistics:
    """Of runs of anchors: a batch is cut into those."""
    torch.manual_seed(0)
    prepared = loss.prepare(loss.with_match(batch_of(inputs)))

    def statistics(index: Tensor) -> Result:
        first = int(index[0]) if len(index) else 0
        part = prepared.rows(first, first + len(index))
        terms = bind_terms(loss.terms(part), part, loss.terms)
        found = {name: term_statistics(name, term, SUMS)[1] for name, term in terms.items()}
        return {f"statistic {k} of '{name}'": value for name, each in found.items() for k, value in enumerate(each)}

    return statistics


def _splits(count: int, runs: bool) -> Iterator[list[Tensor]]:
    """Anchors in parts: runs of them, or any."""
    every = torch.arange(count)
    yield [every[: count // 3], every[count // 3 :]]
    yield [*torch.split(every, 1), every[:0]]
    if not runs:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(4))
        yield [order[count // 2 :], order[: count // 2]]
