"""A warning where an objective has nothing to learn from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch

from metricreg.batch import Batch
from metricreg.errors import NothingToLearnWarning, frames_inside

if TYPE_CHECKING:
    from metricreg.components.loss import Loss

STEPS = 10
"""Batches in a row in which nothing was selected, or found among other references."""
TILE = 512
"""Anchors whose pairs are looked at at a time, where a match says what they are."""


class Watch:
    """Looks at what each loss of a pipeline compares in training, and warns once.

    Losses inside of others are looked at by themselves, with the batch that they get: a memory, the tuples of a miner.
    """

    def __init__(self) -> None:
        self.empty: dict[Loss, int] = {}
        self.learning: set[Loss] = set()
        self.reason: str | None = None
        self.done = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have the losses that are evaluated in this context looked at."""
        token = _watch.set(self)
        try:
            yield
        finally:
            _watch.reset(token)

    def warn(self) -> None:
        """Warn the caller of the pipeline whose `forward` this is called in, if there is a reason."""
        if self.reason is None or self.done:
            return
        self.done = True
        warnings.warn(
            f"{self.reason}. Said once a pipeline; to silence it: warnings.filterwarnings('ignore', "
            "category=metricreg.NothingToLearnWarning)",
            NothingToLearnWarning,
            stacklevel=frames_inside(),
        )

    def look(self, loss: Loss, batch: Batch) -> None:
        """Note whether there is nothing to learn for a loss in a batch, as it is given to it."""
        if loss in self.learning or self.reason is not None:
            return
        if batch.selection is not None:  # looked at in every batch: a miner may find less and less
            reason = None if any(map(len, batch.selection.columns())) else _NOTHING_SELECTED
            self._count(loss, reason, STEPS)
        elif loss.compared_with != "references" or batch.anchor_labels is None:
            self.learning.add(loss)
        else:
            batch = loss.with_match(batch)
            reason = _lacks(batch, loss.needs_positives) if len(batch) > 1 else None
            self._count(loss, reason, 1 if batch.is_self_comparison else STEPS)
            if reason is None or batch.is_self_comparison:  # one batch tells; later ones may be odd
                self.learning.add(loss)

    def _count(self, loss: Loss, reason: str | None, most: int) -> None:
        self.empty[loss] = 0 if reason is None else self.empty.get(loss, 0) + 1
        if self.empty[loss] == most:
            self.reason = reason


_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)

_NOTHING_SELECTED = (
    f"the miner has found nothing, or tuples= listed nothing, in {STEPS} batches one after the other, whose value and "
    "gradient are then 0; choose a miner that finds more, or leave it out"
)


def look(loss: Loss, batch: Batch) -> None:
    """Have the pipeline that a loss is evaluated for look at its batch, if that wants to."""
    watch = _watch.get()
    if watch is not None:
        watch.look(loss, batch)


def _lacks(batch: Batch, needs_positives: bool) -> str | None:
    """Which kind of pair a batch does not have."""
    positives, negatives = _kinds(batch)
    among = "this batch" if batch.is_self_comparison else f"{STEPS} batches one after the other and their references"
    alike = "have the same label" if batch.match is None else "belong together by the match"
    if needs_positives and not positives:
        return (
            f"no two samples of {among} {alike}, so that there is no positive pair; draw at least two samples of each "
            "class"
        )
    if not negatives:
        return f"all samples of {among} {alike}, so that there is no negative pair; draw several classes"
    return None


def _kinds(batch: Batch) -> tuple[bool, bool]:
    """Whether a batch has positive pairs, and negative ones."""
    labels, others = batch.anchor_labels, batch.reference_labels
    if batch.match is None and labels is not None and others is not None and labels.ndim == 1:
        known, labels = others.long().sort().values, labels.long()
        alike = torch.searchsorted(known, labels, right=True) - torch.searchsorted(known, labels)
        own = 0 if batch.self_index is None else (batch.self_index >= 0).long()  # an anchor is no positive of its own
        return bool((alike > own).any()), bool((alike < len(known)).any())
    parts = [batch.rows(i, j) for i, j in batch.tiles(TILE)]
    return any(bool(p.positives.any()) for p in parts), any(bool(p.negatives.any()) for p in parts)
