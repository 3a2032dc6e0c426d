"""Ranks with sigmoids in place of comparisons, of each anchor's positives among the references."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.batch import Batch


@dataclass(frozen=True)
class Ranks:
    """How many references stand before each positive of each anchor.

    Args:
        positives: of the other positives, `[A, K]`.
        negatives: of the negatives, `[A, K]`.
        counts: which entries are positives, bool `[A, K]`.
    """

    positives: Tensor
    negatives: Tensor
    counts: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """The mean over each anchor's positives of `[A, K]`; 0 of none."""
        return values.masked_fill(~self.counts, 0.0).sum(1) / self.counts.sum(1).clamp(min=1)


def soft_ranks(scores: Tensor, batch: Batch, with_self: bool) -> Ranks:
    """How many references stand before each positive, one of a score higher by x counting as 1 / (1 + exp(-x)).

    Args:
        scores: `[A, M]`, larger for closer, over the temperature.
        batch: without a selection.
        with_self: whether an anchor that is among the references is one of its own positives.
    """
    index, counts = batch.positive_index
    if with_self:
        index, counts = _with_self(batch, index, counts)
    own = scores.gather(1, index)
    # the sigmoid of -inf is 0: what is no negative stands before nothing
    against = scores.masked_fill(~batch.negatives, -torch.inf)
    negatives = torch.sigmoid(against[:, None, :] - own[:, :, None]).sum(2)
    itself = torch.eye(index.shape[1], dtype=torch.bool, device=index.device)
    before = torch.sigmoid(own[:, None, :] - own[:, :, None])
    positives = before.masked_fill(itself | ~counts[:, None, :], 0.0).sum(2)
    return Ranks(positives, negatives, counts)


def rank_width(batch: Batch) -> int:
    """K · M: each positive meets all references."""
    return len(batch.references) * max(1, batch.positive_index[0].shape[1])


def _with_self(batch: Batch, index: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """`positive_index` with the anchor itself, where it is among the references, and with the same label."""
    if batch.self_index is None or not len(batch.references):
        return index, counts
    labels, ref_labels = batch.anchor_labels, batch.reference_labels
    assert labels is not None  # as of positives without a selection
    assert ref_labels is not None
    itself = batch.self_index.clamp(min=0)
    alike = (ref_labels[itself] == labels).view(len(batch), -1).all(1) & (batch.self_index >= 0)
    return torch.cat([index, itself[:, None]], 1), torch.cat([counts, alike[:, None]], 1)
