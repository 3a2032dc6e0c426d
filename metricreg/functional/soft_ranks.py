"""Ranks with sigmoids in place of comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.functional.masked import Mask


@dataclass(frozen=True)
class Ranks:
    """How many references stand before each positive of each anchor.

    Args:
        positives: of the other positives, `[A, K]`.
        negatives: of the negatives, `[A, K]`.
        valid: which entries are positives, bool `[A, K]`.
    """

    positives: Tensor
    negatives: Tensor
    valid: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """The mean over each anchor's positives of `[A, K]`; 0 of none."""
        return values.masked_fill(~self.valid, 0.0).sum(1) / self.valid.sum(1).clamp(min=1)


def soft_ranks(scores: Tensor, index: Tensor, valid: Tensor, negatives: Mask, temperature: float) -> Ranks:
    """How many references stand before each positive, one of a score higher by x counting as 1 / (1 + exp(-x / τ)).

    In the memory of `[A, K, M]`.

    Args:
        scores: `[A, M]`, larger for closer.
        index: `[A, K]`, the columns of positives.
        valid: bool `[A, K]`, which of those count.
        negatives: which references are negatives.
        temperature: τ.
    """
    scores = scores / temperature
    own = scores.gather(1, index)
    # the sigmoid of -inf is 0: what is no negative stands before nothing
    against = negatives.filled(scores, -torch.inf)
    of_negatives = torch.sigmoid(against.unsqueeze(1) - own.unsqueeze(2)).sum(2)
    itself = torch.eye(index.shape[1], dtype=torch.bool, device=index.device)
    before = torch.sigmoid(own.unsqueeze(1) - own.unsqueeze(2))
    of_positives = before.masked_fill(itself | ~valid.unsqueeze(1), 0.0).sum(2)
    return Ranks(of_positives, of_negatives, valid)
