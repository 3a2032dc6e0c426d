"""Whether what a component promises is so: looked at on a few samples, in the first step that goes by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components.distance import Distance
from metricreg.engine.evaluate import bind_terms, term_statistics
from metricreg.errors import MetricregError

if TYPE_CHECKING:
    from metricreg.components.logsumexp_loss import LogSumExpLoss
    from metricreg.components.loss import Loss

T = TypeVar("T")
SAMPLES = 16
"""Samples whose pairs are looked at, in float64,"""
EACH = 4
"""up to so many of each class."""
TOLERANCE = 1e-3
"""Relative difference that may be rounding;"""
COARSE = 0.1
"""and in float32, where rounding decides on which side of a margin some values are."""
TRIES = 5
"""Steps in which terms are looked at, if there was nothing to compare."""
WIDE_VALUES = 2**22
"""Values of all references up to which they are looked at in float64."""


def check_statistics(loss: Loss, batch: Batch) -> None:
    """Compare the statistics of all pairs of a few samples with the sum of those of half of the pairs, counted twice.

    Raises:
        MetricregError: they differ, so that a promise of the loss, its distance or its reducer is wrong.
    """
    known = loss.__dict__.get("_checked_with")
    if (known is not None and known[0] is loss.distance and known[1] is loss.reducer) or len(batch) < 2:
        return
    check_distance(loss.distance, batch)
    if _of_few(lambda some: _check_statistics(loss, some), batch):
        loss.__dict__["_checked_with"] = loss.distance, loss.reducer


def _check_statistics(loss: Loss, some: Batch) -> bool:
    """The same of a few samples; whether there was anything to compare."""
    first, second = slice(0, len(some) // 2), slice(len(some) // 2, len(some))
    places = ((first, first), (second, second), (first, second), (second, first))
    whole, a, b, one, other = (_statistics(loss, part) for part in (some, *(some.block(i, j) for i, j in places)))
    for name in whole:
        for k, total in enumerate(whole[name]):
            halves = a[name][k] + b[name][k]
            for across in (one[name][k], other[name][k]):
                found = halves + 2 * across
                # a value at a margin may be counted either way
                least = torch.finfo(total.dtype).eps ** 0.5 if total.is_floating_point() else 2.0
                slack = TOLERANCE * torch.maximum(total.abs(), found.abs()) + least
                if bool(((total - found).abs() > slack).any()):
                    reducer = type(loss.reducer.for_term(name)).__name__
                    raise MetricregError(
                        f"the term '{name}' of {type(loss).__name__}, reduced by {reducer}, is {total.tolist()} over "
                        f"all pairs of a few samples, and {found.tolist()} where half of the pairs stand for both. "
                        "One of the two promises what does not hold: take the mark @symmetric from terms, or "
                        "@by_value from statistics"
                    )
    return any(bool(total.any()) for given in one.values() for total in given if total.is_floating_point())


def check_terms(loss: Loss, batch: Batch, most: int) -> None:
    """Look whether the terms of a few anchors are pure, and their statistics sums over anchors.

    Args:
        loss: whose they are.
        batch: of a step.
        most: how many anchors there is memory for.

    Raises:
        MetricregError: they draw random numbers, or are others when asked again, or of some anchors and of others are
            not what they are of both.
    """
    key, number = (loss.reducer, loss.training), len(batch)
    known, tries = loss.__dict__.get("_terms_checked_with", (None, 0))
    if known != key:
        tries = 0
    if tries >= TRIES or number < 2:
        return
    rows = min(number, SAMPLES, max(most, 2))
    with torch.no_grad():
        wide = batch.references.numel() <= WIDE_VALUES and batch.anchors.device.type != "mps"  # which has no float64
        told = [_check_terms(loss, batch.rows(i, i + rows), wide) for i in {0, number - rows}]
    loss.__dict__["_terms_checked_with"] = key, TRIES if any(told) else tries + 1


def _check_terms(loss: Loss, batch: Batch, wide: bool) -> bool:
    """The same of all anchors of a batch; whether there was anything to compare."""
    number = len(batch)
    bounds = [(0, number), (0, number), (0, number // 2), (number // 2, number)]
    parts = [batch.rows(i, j).with_tensors(_cache=None) for i, j in bounds]
    if wide:  # first as it is: what a loss makes when it is first asked, it keeps
        before = parts[0].anchors.nan_to_num()
        _statistics(loss, parts[0])
        if not torch.equal(before, parts[0].anchors.nan_to_num()):
            raise MetricregError(
                f"{type(loss).__name__}.terms changes the embeddings of its batch in place; make a new tensor of them"
            )
    try:
        found, drawn = _asked([_as_float64(part) for part in parts] if wide else parts, loss)
    except RuntimeError:  # of a component that mixes types
        if not wide:
            raise
        return _check_terms(loss, batch, wide=False)
    if drawn:
        raise MetricregError(
            f"{type(loss).__name__}.terms draws random numbers. The tiled plan asks it more than once; draw in "
            "prepare, and keep what was drawn in per_anchor or shared"
        )
    compared = False
    for term in found[0]:
        every = [statistics.get(term, ()) for statistics in found]
        if len({tuple(each.shape for each in some) for some in every}) > 1:
            return False  # which the sweep refuses
        for total, repeated, a, b in zip(*every, strict=True):
            if not total.is_floating_point():
                continue  # a count: rounding decides on which side of a margin some are
            compared |= bool(a.any()) and bool(b.any())
            if _differs(total, repeated, total.abs(), TOLERANCE):
                raise MetricregError(
                    f"{type(loss).__name__}.terms gives another '{term}' of the same anchors when asked again: it "
                    "changes something, or draws from a generator of its own. The tiled plan asks more than once; "
                    "draw in prepare, and change state in update_buffers"
                )
            if _differs(total, a + b, a.abs() + b.abs(), TOLERANCE if wide else COARSE):
                maker = type(loss.reducer.for_term(term)).__name__
                raise MetricregError(
                    f"the statistics of the term '{term}' of {type(loss).__name__} by {maker} are {total.tolist()} of "
                    f"{number} anchors, and {a.tolist()} and {b.tolist()} of both halves of them; "
                    "statistics are sums over anchors: divide in finalize"
                )
    return compared


def _asked(parts: list[Batch], loss: Loss) -> tuple[list[dict[str, tuple[Tensor, ...]]], bool]:
    """The statistics of each part; and whether random numbers are drawn for them, each time."""
    before = _random_state(parts[0].anchors)
    found = [_statistics(loss, part) for part in parts]
    if torch.equal(before, _random_state(parts[0].anchors)):
        return found, False
    before = _random_state(parts[0].anchors)  # perhaps another thread drew
    _statistics(loss, parts[0])
    return found, not torch.equal(before, _random_state(parts[0].anchors))


def _as_float64(part: Batch) -> Batch:
    def wide(tensor: Tensor) -> Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor

    references = wide(part.references)
    anchors = references if part.is_self_comparison else wide(part.anchors)
    held = {name: {k: wide(v) for k, v in getattr(part, name).items()} for name in ("per_anchor", "shared")}
    weights = None if part.weights is None else wide(part.weights)
    return part.with_tensors(anchors=anchors, references=references, weights=weights, _cache=None, **held)


def _differs(found: Tensor, wanted: Tensor, size: Tensor, tolerance: float) -> bool:
    """Whether numbers that are made of others of a size differ by more than rounding."""
    slack = tolerance * size + torch.finfo(found.dtype).eps ** 0.5
    return bool(((found - wanted).abs() > slack).any())  # NaN does not


def _random_state(like: Tensor) -> Tensor:
    return torch.cuda.get_rng_state(like.device) if like.is_cuda else torch.get_rng_state()


def check_distance(distance: Distance, batch: Batch) -> None:
    """Compare the distances of a few samples with those of the same pairs with their samples exchanged.

    Raises:
        MetricregError: they differ, or are not in the range that the distance states.
    """
    if distance.__dict__.get("_was_checked") or len(batch) < 2:
        return
    found = _of_few(distance.between, batch)
    if not _is_symmetric(found):
        raise MetricregError(
            f"{type(distance).__name__}.matrix is marked @symmetric, and makes of some pairs other distances with "
            "their samples exchanged; take the mark away"
        )
    known = distance.value_range()
    if known is not None and bool(((found < known[0] - 1e-3) | (found > known[1] + 1e-3)).any()):
        raise MetricregError(
            f"{type(distance).__name__}.value_range says {known}, and there are distances from "
            f"{float(found.min()):g} to {float(found.max()):g}"
        )
    if bool(found.any()):
        distance.__dict__["_was_checked"] = True


def check_exponents(loss: LogSumExpLoss, batch: Batch) -> None:
    """The same of a loss's exponents, which have to be of each distance by itself.

    Raises:
        MetricregError: they differ with the samples of a pair exchanged, or the distances do.
    """
    check_distance(loss.distance, batch)
    if loss.__dict__.get("_exponents_were_checked") or len(batch) < 2:
        return
    if not _is_symmetric(_of_few(lambda few: loss.scaled_exponents(loss.distance.between(few)), batch)):
        raise MetricregError(
            f"{type(loss).__name__}.exponents makes of some pairs other exponents with their samples exchanged; it has "
            "to make each of one distance by itself"
        )
    loss.__dict__["_exponents_were_checked"] = True


def _of_few(function: Callable[[Batch], T], batch: Batch) -> T:
    """A function of a few samples in float64, if the device has it."""
    dtype = batch.anchors.dtype
    with torch.no_grad():
        try:
            return function(_some_of(batch, dtype if batch.anchors.device.type == "mps" else torch.float64))
        except RuntimeError:  # of a component that mixes types
            return function(_some_of(batch, dtype))


def _is_symmetric(found: Tensor) -> bool:
    slack = TOLERANCE * found.abs().max() + torch.finfo(found.dtype).eps ** 0.5
    return not bool(((found - found.mT).abs() > slack).any())


def _some_of(batch: Batch, dtype: torch.dtype) -> Batch:
    """A few samples of a batch compared with themselves, those of a class in both halves."""
    labels = batch.anchor_labels
    if labels is None:
        some = torch.arange(min(SAMPLES, len(batch)), device=batch.anchors.device)
    else:
        keys, order = labels.long().sort(stable=True)
        place = torch.arange(len(keys), device=keys.device) - torch.searchsorted(keys, keys)  # in its class
        some = order[place < EACH][:SAMPLES]
    some = torch.cat([some[::2], some[1::2]])
    labels = None if labels is None else labels[some]
    shared = {k: v.detach().to(dtype) if v.is_floating_point() else v for k, v in batch.shared.items()}
    return Batch.self_comparison(batch.anchors.detach()[some].to(dtype), labels, shared=shared)


def _statistics(loss: Loss, part: Batch) -> dict[str, tuple[Tensor, ...]]:
    """The statistics of each term of some anchors against some references."""
    terms = bind_terms(loss.terms(part), part, loss.terms)
    return {name: term_statistics(name, term, loss.reducer)[1] for name, term in terms.items()}
