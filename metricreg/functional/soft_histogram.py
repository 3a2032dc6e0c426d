"""Soft histograms: each value is in the two bins whose middles it is between, by how near it is to each."""

from __future__ import annotations

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.functional.logsumexp import which
from metricreg.functional.strips import Rowwise, Which


class SoftHistograms(Rowwise):
    """Of each anchor's values, the histogram of those of positives and that of negatives: `[A, M]` to `[A, 2 (L + 1)]`.

    A pair that a selection repeats is there once.

    Args:
        batch: the anchors.
        shift: what to add to a value, before
        scale: by what to multiply it, so that bins are at 0 to L. What is beyond is in the first or last.
        bins: L, at least 1.
    """

    def __init__(self, batch: Batch, shift: float, scale: float, bins: int) -> None:
        self.batch, self.shift, self.scale, self.bins = batch, shift, scale, bins
        self.negatives = Which(which(batch.negatives))

    @property
    def edges(self) -> int:
        """L + 1."""
        return self.bins + 1

    def split(self, histograms: Tensor) -> tuple[Tensor, Tensor]:
        """That of positives and that of negatives, `[A, L + 1]` each."""
        return histograms[:, : self.edges], histograms[:, self.edges :]

    def plain(self, values: Tensor) -> Tensor:
        """The function of all rows, in differentiable operations."""
        near, counts = self.batch.at_positives(values)
        return torch.cat([self._of(near, which(counts)), self._of(values, self.negatives.weight)], 1)

    def _of(self, values: Tensor, weight: Tensor) -> Tensor:
        place = ((values + self.shift) * self.scale).clamp(0.0, float(self.bins))
        lower = place.detach().floor().clamp(max=self.bins - 1.0)
        upper_part, entry = place - lower, lower.nan_to_num(0.0).long()
        found = values.new_zeros(len(values), self.edges)
        found = found.scatter_add(1, entry, (1.0 - upper_part).masked_fill(~weight, 0.0))
        return found.scatter_add(1, entry + 1, upper_part.masked_fill(~weight, 0.0))

    def value(self, values: Tensor, rows: slice) -> Tensor:
        """The same of some rows."""
        place = self._place(values, float(self.bins))
        lower = torch.floor(place, out=self.scratch(values, 1)).clamp_(max=self.bins - 1.0)
        entry, upper_part = self._entry(lower), place.sub_(lower)
        lower_part = torch.sub(place.new_ones(()), upper_part, out=lower)
        found = values.new_zeros(len(values), 2 * self.edges)
        positives, negatives = self.split(found)
        if self.batch.lists_positives:
            index, counts = (part[rows] for part in self.batch.positive_index)
            few = entry.gather(1, index)
            parts = [part.gather(1, index).masked_fill_(~counts, 0.0) for part in (lower_part, upper_part)]
        else:
            few, without = entry, self.batch.positives[rows] == 0
            parts = [part.masked_fill(without, 0.0) for part in (lower_part, upper_part)]
        _add(positives, few, *parts)
        _add(negatives, entry, *(self.negatives.fill_(part, rows, 0.0) for part in (lower_part, upper_part)))
        return found

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        """The gradient with respect to some rows."""
        entry = self._entry(self._place(values, self.bins - 1.0))
        of_positives, of_negatives = (part.diff(dim=1) * self.scale for part in self.split(gradient))
        torch.gather(of_negatives, 1, entry, out=out)
        self.negatives.fill_(out, rows, 0.0)
        if self.batch.lists_positives:
            index, counts = (part[rows] for part in self.batch.positive_index)
            few = of_positives.gather(1, entry.gather(1, index))
            out.scatter_add_(1, index, few.masked_fill_(~counts, 0.0))
        else:
            out += of_positives.gather(1, entry).masked_fill_(self.batch.positives[rows] == 0, 0.0)

    def _place(self, values: Tensor, last: float) -> Tensor:
        """Where values are among the bins, up to the last: `[R, M]`."""
        first = values.new_tensor(self.shift * self.scale)
        return torch.add(first, values, alpha=self.scale, out=self.scratch(values)).clamp_(0.0, last)

    def _entry(self, place: Tensor) -> Tensor:
        """The number of a bin, int64 `[R, M]`."""
        if place.device.type != "cpu" or bool(place.sum().isnan()):  # no number, and it may be any
            place = place.nan_to_num(0.0)
        return self.scratch(place, 2, torch.int64).copy_(place)


def _add(histogram: Tensor, entry: Tensor, lower_part: Tensor, upper_part: Tensor) -> None:
    """Add values `[R, K]` to a histogram `[R, L + 1]`."""
    histogram[:, :-1].scatter_add_(1, entry, lower_part)
    histogram[:, 1:].scatter_add_(1, entry, upper_part)
