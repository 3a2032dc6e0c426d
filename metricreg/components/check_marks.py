"""Whether what a component promises is so: looked at on a few samples, in the first step that goes by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components.distance import Distance
from metricreg.engine.evaluate import bind_terms, term_statistics
from metricreg.errors import MetricregError

if TYPE_CHECKING:
    from metricreg.components.logsumexp_loss import LogSumExpLoss
    from metricreg.components.loss import Loss

SAMPLES = 16
"""Samples whose pairs are looked at, in float64,"""
EACH = 4
"""up to so many of each class."""
TOLERANCE = 1e-6
"""Relative difference that is rounding,"""
LOOSE = 5e-2
"""and where a component takes the type of the batch alone: distances in tight classes are then hardly known."""


def check_statistics(loss: Loss, batch: Batch) -> None:
    """Compare the statistics of all pairs of a few samples with the sum of those of half of the pairs, counted twice.

    Raises:
        MetricregError: they differ, so that a promise of the loss, its distance or its reducer is wrong.
    """
    known = loss.__dict__.get("_checked_with")
    if (known is not None and known[0] is loss.distance and known[1] is loss.reducer) or len(batch) < 2:
        return
    check_distance(loss.distance, batch)
    try:
        found = _check_statistics(loss, _some_of(batch, torch.float64), TOLERANCE)
    except RuntimeError:  # of a component that mixes types
        found = _check_statistics(loss, _some_of(batch, batch.anchors.dtype), LOOSE)
    if found:
        loss.__dict__["_checked_with"] = loss.distance, loss.reducer


def _check_statistics(loss: Loss, some: Batch, tolerance: float) -> bool:
    """The same of a few samples, up to a relative tolerance; whether there was anything to compare."""
    first, second = slice(0, len(some) // 2), slice(len(some) // 2, len(some))
    with torch.no_grad():
        whole, a, b, one, other = (
            _statistics(loss, part)
            for part in (
                some,
                some.block(first, first),
                some.block(second, second),
                some.block(first, second),
                some.block(second, first),
            )
        )
    for name in whole:
        for k, total in enumerate(whole[name]):
            halves = a[name][k] + b[name][k]
            for across in (one[name][k], other[name][k]):
                found = halves + 2 * across
                # a value at a margin may be counted either way
                slack = tolerance * torch.maximum(total.abs(), found.abs()) + (
                    0.0 if total.is_floating_point() else 2.0
                )
                if bool(((total - found).abs() > slack).any()):
                    reducer = type(loss.reducer.for_term(name)).__name__
                    raise MetricregError(
                        f"the term '{name}' of {type(loss).__name__}, reduced by {reducer}, is {total.tolist()} over "
                        f"all pairs of a few samples, and {found.tolist()} where half of the pairs stand for both. "
                        "One of the two promises what does not hold: take the mark @symmetric from terms, or "
                        "@by_value from statistics"
                    )
    return any(bool(total.any()) for given in one.values() for total in given if total.is_floating_point())


def check_distance(distance: Distance, batch: Batch) -> None:
    """Compare the distances of a few samples with those of the same pairs with their samples exchanged.

    Raises:
        MetricregError: they differ, or are not in the range that the distance states.
    """
    if distance.__dict__.get("_was_checked") or len(batch) < 2:
        return
    found = _pairs_of_few(distance.between, batch)
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
    if not _is_symmetric(_pairs_of_few(lambda few: loss.scaled_exponents(loss.distance.between(few)), batch)):
        raise MetricregError(
            f"{type(loss).__name__}.exponents makes of some pairs other exponents with their samples exchanged; it has "
            "to make each of one distance by itself"
        )
    loss.__dict__["_exponents_were_checked"] = True


def _pairs_of_few(function: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """A function of the pairs of a few samples, `[S, S]`."""
    with torch.no_grad():
        try:
            return function(_some_of(batch, torch.float64))
        except RuntimeError:  # of a component that mixes types
            return function(_some_of(batch, batch.anchors.dtype))


def _is_symmetric(found: Tensor) -> bool:
    return not bool(((found - found.mT).abs() > 1e-3 * found.abs().max()).any())


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
    return Batch.self_comparison(batch.anchors[some].detach().to(dtype), labels, shared=shared)


def _statistics(loss: Loss, part: Batch) -> dict[str, tuple[Tensor, ...]]:
    """The statistics of each term of some anchors against some references."""
    terms = bind_terms(loss.terms(part), part, loss.terms)
    return {name: term_statistics(name, term, loss.reducer)[1] for name, term in terms.items()}
