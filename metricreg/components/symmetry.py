"""Whether a loss that promises to be symmetric is: looked at once, in the first step that goes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.engine.evaluate import bind_terms, term_statistics
from metricreg.errors import MetricregError

if TYPE_CHECKING:
    from metricreg.components.loss import Loss

SAMPLES = 16
"""Samples whose pairs are looked at."""
TOLERANCE = 1e-3
"""Relative difference, in float32, that is rounding."""


def check_symmetry(loss: Loss, batch: Batch) -> None:
    """Compare the statistics of a few pairs with those of the same pairs with their samples exchanged.

    Raises:
        MetricregError: they differ, so that a promise of the loss, its distance or its reducer is wrong.
    """
    if loss.__dict__.get("_is_known_symmetric") or len(batch) < 2:
        return
    some = _first_of_each_class(batch)
    halves = some[::2], some[1::2]
    with torch.no_grad():
        found = [_statistics(loss, batch, *order) for order in (halves, halves[::-1])]
    for name in found[0]:
        for a, b in zip(found[0][name], found[1][name], strict=True):
            # a value at a margin may be counted either way
            slack = TOLERANCE * torch.maximum(a.abs(), b.abs()) + (0.0 if a.is_floating_point() else 1.0)
            if bool(((a - b).abs() > slack).any()):
                reducer = type(loss.reducer.for_term(name)).__name__
                raise MetricregError(
                    f"the term '{name}' of {type(loss).__name__}, by {type(loss.distance).__name__} and {reducer}, is "
                    f"{a.tolist()} of some pairs, and {b.tolist()} of the same with their samples exchanged. One of "
                    "the three promises what does not hold: take the mark @symmetric from its terms or matrix, or "
                    "@by_value from its statistics"
                )
    loss.__dict__["_is_known_symmetric"] = True


def _first_of_each_class(batch: Batch) -> Tensor:
    """A few samples, those of a class one after another."""
    labels = batch.anchor_labels
    if labels is None:
        return torch.arange(min(SAMPLES, len(batch)), device=batch.anchors.device)
    return labels.long().sort(stable=True).indices[:SAMPLES]


def _statistics(loss: Loss, batch: Batch, anchors: Tensor, references: Tensor) -> dict[str, tuple[Tensor, ...]]:
    """The statistics of each term of some anchors against some references."""
    labels = batch.reference_labels
    part = batch.replace(
        anchors=batch.anchors[anchors],
        references=batch.references[references],
        anchor_labels=None if labels is None else labels[anchors],
        reference_labels=None if labels is None else labels[references],
        self_index=None,
    )
    terms = bind_terms(loss.terms(part), part, loss.terms)
    return {name: term_statistics(name, term, loss.reducer)[1] for name, term in terms.items()}
