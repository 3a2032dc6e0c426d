"""Promises: marks and attributes that the engine goes by, each tried with inputs that would show it to be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from metricreg.components import Loss
from metricreg.components.logsumexp_loss import LogSumExpLoss
from metricreg.components.marks import has_mark, symmetric
from metricreg.distances import CosineSimilarity
from metricreg.engine.execution import Execution
from metricreg.errors import InputError, MetricregError, SpecError
from metricreg.losses import ContrastiveLoss, NTXentLoss, TripletMarginLoss
from metricreg.reducers import MeanReducer
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example
from metricreg.testing.inputs import Inputs, rows, rows_like
from metricreg.testing.results import DENSE, call, difference, not_finite, result, shown

SEEDS = range(3)


@check(
    "loss",
    "distance",
    mend="take the mark @symmetric away: values and gradients are the same without it",
    after=("is_equal_in_tiles",),
)
def is_symmetric_where_marked(example: Example) -> None:
    """What is marked `@symmetric` is the same with the samples of a pair exchanged, so that half of the pairs do."""
    component = example.make()
    if isinstance(component, Loss):
        if not (has_mark(component.terms, symmetric) or isinstance(component, LogSumExpLoss)):
            skip("it has no mark")
        _skip_unless([_compare_halves(example, lambda: _with_marked_parts(example.make()))])
        return
    if not component.is_symmetric:
        skip("it has no mark")
    for seed in SEEDS:
        x = component.prepare(rows_like(example.inputs.embeddings, seed))
        found = difference({"matrix(x, y)": component.matrix(x, x)}, {"matrix(x, y)": component.matrix(x, x).mT}, 1e-9)
        if found:
            fail(f"with x and y exchanged, {found}")
    for host in (ContrastiveLoss, NTXentLoss):
        _compare_halves(example, lambda host=host: host(distance=example.make()))


def _with_marked_parts(loss: Any) -> Any:
    """A loss with a distance and a reducer whose marks are true, where it may have others."""
    if not loss.distance.is_symmetric and not loss.distances:
        loss.distance = CosineSimilarity()
    loss.reducer = MeanReducer()
    return loss


@check(
    "reducer",
    mend="take the mark @by_value away: values and gradients are the same without it",
    after=("is_equal_in_tiles",),
)
def is_by_value_where_marked(example: Example) -> None:
    """Statistics that are marked `@by_value` are sums over single values, whichever anchors those are of."""
    if not example.make().is_by_value:
        skip("it has no mark")
    hosts = (ContrastiveLoss, TripletMarginLoss)
    _skip_unless([_compare_halves(example, lambda host=host: host(reducer=example.make())) for host in hosts])


def _skip_unless(compared: list[bool]) -> None:
    if not any(compared):
        skip("it takes no batch that is compared with itself")


def _compare_halves(example: Example, make: Any) -> bool:
    """Compare the tiled plan, which goes by the marks, with the dense one, which does not.

    Returns:
        Whether there was a batch to compare.
    """
    compared = False
    for seed in SEEDS:
        inputs = replace(example.inputs.again(seed), ref_embeddings=None, ref_labels=None)
        try:
            want = result(make(), inputs, DENSE)
        except (InputError, SpecError):
            continue
        compared = True
        try:
            got = result(make(), inputs, Execution("tiled", tile=5))
        except MetricregError as error:  # of the engine, which tries the marks itself
            fail("", error)
        found = difference(got, want, 1e-9)
        if found:
            fail(f"where half of the pairs stand for both, {found}")
    return compared


@check("distance", mend="state bounds that hold for all embeddings, with `power`; or None")
def stays_in_its_range(example: Example) -> None:
    """All distances are between the two that `value_range` states."""
    component = example.make()
    known = component.value_range()
    if known is None:
        skip("it states none")
    x = example.inputs.embeddings
    every = torch.cat([x, -x, 1e4 * x, 1e-4 * x, torch.zeros_like(x[:1])])
    found = component(every)
    low, high = float(found.min()), float(found.max())
    slack = 1e-6 * max(abs(known[0]), abs(known[1]), 1.0)
    if not known[0] - slack <= low <= high <= known[1] + slack:
        fail(f"value_range says {known}, and there are distances from {low:.6g} to {high:.6g}")


@check(
    "distance",
    mend="set is_inverted = True on a similarity, which is larger for closer, and False on a distance",
    after=("is_the_same_for_every_question",),
)
def points_the_way_it_says(example: Example) -> None:
    """Of a similarity (`is_inverted`) larger means closer, and of a distance smaller."""
    component, x = example.make(), example.inputs.embeddings
    near, far = component.pairwise(x, x * 1.01), component.pairwise(x, -x)
    if bool((component.closeness(near) < component.closeness(far)).all()):
        fail(
            f"with is_inverted={component.is_inverted}, each row is nearer to its opposite, {float(far.mean()):.4g} on "
            f"average, than to itself, {float(near.mean()):.4g}"
        )


@check(
    "loss",
    mend='set compared_with to "references", "paired references", "own rows" or "own labels", whichever it is, and '
    "refuse other references by an InputError",
)
def compares_with_what_it_says(example: Example) -> None:
    """It takes the references that `compared_with` says it is compared with, and refuses others by an `InputError`."""
    loss, inputs = example.make(), example.inputs
    said = f"compared_with is '{loss.compared_with}', and"
    alone = replace(inputs, ref_embeddings=None, ref_labels=None)
    other = rows_like(inputs.embeddings, 5)
    pairs = replace(inputs, ref_embeddings=other, ref_labels=inputs.labels)
    fewer = replace(pairs, ref_embeddings=other[:-1], ref_labels=None if inputs.labels is None else inputs.labels[:-1])
    if loss.compared_with == "references":
        if inputs.ref_embeddings is None and not _takes(example, fewer):
            fail(f"{said} ref_embeddings are refused")
    elif loss.compared_with == "paired references":
        if not _takes(example, pairs) or _takes(example, alone) or _takes(example, fewer):
            fail(f"{said} it does not take two views of as many rows, and those alone")
    elif loss.compared_with == "own rows":
        if _takes(example, pairs):
            fail(f"{said} it takes ref_embeddings, which it does not look at")
    elif inputs.labels is not None:
        fail(f"{said} it takes labels, which it does not look at")


def _takes(example: Example, inputs: Inputs) -> bool:
    try:
        call(example.make(), inputs)
    except InputError:
        return False
    return True


@check("match", mend="compare both ways, for example by (a & b).any(), not by a subset of b")
def relates_both_ways(example: Example) -> None:
    """What belongs to another, and what does not, does so both ways; nothing is both positive and negative."""
    for name, mask in call(example.make(), example.inputs).items():
        if not torch.equal(mask, mask.mT):
            i, j = (mask != mask.mT).nonzero()[0].tolist()
            labels = example.inputs.labels
            assert labels is not None  # of a match
            fail(f"of the labels {shown(labels[i])} and {shown(labels[j])} only one has the other among its {name}")


@check("match", mend="leave is_equality out, which is False; or let positives be labels[:, None] == ref_labels[None]")
def is_equality_where_it_says(example: Example) -> None:
    """Where `is_equality` is true, positives are the pairs of equal labels, and all others are negatives."""
    match = example.make()
    if not match.is_equality:
        skip("it says that it is another relation")
    labels = torch.tensor([0, 1, 2, 0, 1, -1, 2**40])
    positives, negatives = match.related(labels, labels)
    equal = labels[:, None] == labels[None, :]
    if not torch.equal(positives, equal) or not torch.equal(negatives, ~equal):
        fail(f"of the labels {shown(labels)}, positives are {shown(positives.nonzero())}")


@check("regularizer", mend="leave any_shape out, which is False; or flatten what it is given, x.flatten()")
def takes_any_shape_where_it_says(example: Example) -> None:
    """Where `any_shape` is true, it takes a vector, and a tensor of more than two axes."""
    if not example.make().any_shape:
        skip("it is for matrices [N, D]")
    for shape in ([4], [3, 2, 2], []):
        x = rows(12, 1).flatten()[: torch.Size(shape).numel()].view(shape)
        try:
            wrong = not_finite({"the penalty": example.make()(x)})
        except Exception as error:
            fail(f"of a tensor {shape} it raises", error)
        if wrong:
            fail(f"of a tensor {shape}, {wrong}")
