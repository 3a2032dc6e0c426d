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
        counts = counts | _places_of_self(batch, index)
    own = scores.gather(1, index)
    # of [A, K, M], as of what follows, there is one at a time; what does not count is never before anything
    against = scores.masked_fill(~batch.negatives, -torch.inf)
    negatives = torch.sigmoid(against[:, None, :] - own[:, :, None]).sum(2)
    itself = torch.eye(index.shape[1], dtype=torch.bool, device=index.device)
    before = torch.sigmoid(own[:, None, :] - own[:, :, None])
    positives = before.masked_fill(itself | ~counts[:, None, :], 0.0).sum(2)
    return Ranks(positives, negatives, counts)


def rank_width(batch: Batch) -> int:
    """K · M: each positive meets all references."""
    return len(batch.references) * max(1, batch.positive_index[0].shape[1])


def _places_of_self(batch: Batch, index: Tensor) -> Tensor:
    """Where in `positive_index` an anchor stands itself, bool `[A, K]`."""
    if batch.self_index is None:
        return torch.zeros_like(index, dtype=torch.bool)
    assert batch.anchor_labels is not None  # as of positives without a selection
    assert batch.reference_labels is not None
    alike = batch.reference_labels[index] == batch.anchor_labels[:, None]
    found = (index == batch.self_index[:, None]) & alike
    return found & (found.cumsum(1) == 1)  # columns behind an anchor's last positive may be any
