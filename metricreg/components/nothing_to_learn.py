"""A warning where an objective has nothing to learn from."""

from __future__ import annotations

import warnings

import torch

from metricreg.batch import Batch
from metricreg.components.loss import Loss
from metricreg.components.wrapper_loss import WrapperLoss
from metricreg.errors import NothingToLearnWarning, frames_inside

STEPS = 10
"""Batches in a row in which a miner finds nothing."""


class Watch:
    """Looks at the training batches of one pipeline, and warns once."""

    def __init__(self) -> None:
        self.empty = 0
        self.done = False

    def look(self, batch: Batch, loss: Loss, mined: bool) -> None:
        """Warn if there is nothing to learn from a batch. Labels are looked at in the first: later ones may be odd.

        Args:
            batch: of a training step.
            loss: of the pipeline.
            mined: whether the pipeline's miner selected its tuples.
        """
        if self.done:
            return
        reason = None
        if mined and batch.selection is not None:
            self.empty = 0 if any(map(len, batch.selection.columns())) else self.empty + 1
            if self.empty == STEPS:
                reason = (
                    f"the miner has found nothing in {STEPS} batches one after the other, whose value and gradient are "
                    "then 0; choose a miner that finds more, or leave it out"
                )
            self.done = reason is not None
        else:
            reason = _reason(batch, loss.needs_positives) if _compares_by_label(batch, loss) else None
            self.done = True
        if reason is not None:
            warnings.warn(
                f"{reason}. Said once a pipeline; to silence it: warnings.filterwarnings('ignore', "
                "category=metricreg.NothingToLearnWarning)",
                NothingToLearnWarning,
                stacklevel=frames_inside(),
            )


def _compares_by_label(batch: Batch, loss: Loss) -> bool:
    """Whether what is learned from a batch are its own pairs, by labels that are integers."""
    labels = batch.anchor_labels
    if batch.selection is not None or batch.match is not None or labels is None or labels.ndim != 1 or len(batch) < 2:
        return False
    own = loss.compared_with == "references" and loss.match is None
    return own and not isinstance(loss, WrapperLoss)


def _reason(batch: Batch, needs_positives: bool) -> str | None:
    labels, others = batch.anchor_labels, batch.reference_labels
    assert labels is not None  # as _compares_by_label says
    assert others is not None
    if batch.is_self_comparison:
        found = torch.unique(labels)
        positives, negatives = len(found) < len(labels), len(found) > 1
    else:
        positives = bool(torch.isin(labels, others).any())
        negatives = len(torch.unique(torch.cat([labels, others]))) > 1
    if needs_positives and not positives:
        return (
            "no two samples of this batch have the same label, so that it has no positive pair; draw at least two "
            "samples of each class"
        )
    if not negatives:
        return "all samples of this batch have the same label, so that it has no negative pair; draw several classes"
    return None
