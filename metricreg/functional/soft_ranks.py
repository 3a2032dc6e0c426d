"""Ranks with sigmoids in place of comparisons, of each anchor's positives among the references."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.functional.strips import Rowwise, Which


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


def soft_ranks(scores: Tensor, batch: Batch, with_self: bool, temperature: float) -> Ranks:
    """How many references stand before each positive, one of a score higher by x counting as 1 / (1 + exp(-x / τ)).

    Args:
        scores: `[A, M]`, larger for closer.
        batch: without a selection.
        with_self: whether an anchor that is among the references is one of its own positives.
        temperature: τ.
    """
    index, counts = batch.positive_index
    if with_self:
        index, counts = _with_self(batch, index, counts)
    own, negatives = _Before(index, batch.negatives, temperature)(scores).tensor_split(2, 1)
    itself = torch.eye(index.shape[1], dtype=torch.bool, device=index.device)
    before = torch.sigmoid(own[:, None, :] - own[:, :, None])
    positives = before.masked_fill(itself | ~counts[:, None, :], 0.0).sum(2)
    return Ranks(positives, negatives, counts)


class _Before(Rowwise):
    """Scores at some columns, over the temperature, and how many negatives stand before each: `[A, K]` beside `[A, K]`.

    Args:
        index: `[A, K]`, the columns.
        negatives: bool `[A, M]`.
        temperature: greater than 0.
    """

    def __init__(self, index: Tensor, negatives: Tensor, temperature: float) -> None:
        self.index, self.negatives, self.temperature = index, Which(negatives), temperature

    def plain(self, values: Tensor) -> Tensor:
        scores = values / self.temperature
        own = scores.gather(1, self.index)
        # the sigmoid of -inf is 0: what is no negative stands before nothing
        against = scores.masked_fill(~self.negatives.weight, -torch.inf)
        return torch.cat([own, torch.sigmoid(against[:, None, :] - own[:, :, None]).sum(2)], 1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        own, against = self._against(values, rows)
        before = torch.empty_like(own)
        for k, each in enumerate(own.unbind(1)):
            before[:, k] = torch.sub(against, each[:, None], out=self.scratch(values, 1)).sigmoid_().sum(1)
        return torch.cat([own, before], 1)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        own, against = self._against(values, rows)
        of_own, of_before = (gradient / self.temperature).tensor_split(2, 1)
        of_own = of_own.clone()
        if not own.shape[1]:
            out.zero_()
        for k, each in enumerate(own.unbind(1)):
            part = torch.sub(against, each[:, None], out=self.scratch(values, 1) if k else out).sigmoid_()
            torch.ops.aten.sigmoid_backward(of_before[:, k : k + 1].expand_as(part), part, grad_input=part)
            of_own[:, k] -= part.sum(1)
            if k:
                out += part
        out.scatter_add_(1, self.index[rows], of_own)

    def _against(self, values: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Scores over the temperature, those at the columns `[R, K]`, and all `[R, M]`: -inf of what is no negative."""
        scores = torch.div(values, self.temperature, out=self.scratch(values))
        own = scores.gather(1, self.index[rows])
        return own, self.negatives.fill_(scores, rows, -torch.inf)


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
