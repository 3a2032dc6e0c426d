"""A memory of earlier batches, row by row (Wang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.selection import Chosen, chosen_of


class Memory:
    """A list of `size` places, filled in turn, and overwritten from the first on when they are all taken."""

    def __init__(self, size: int) -> None:
        self.size, self.next = size, 0
        self.rows: list[Tensor] = []
        self.labels: list[int] = []

    def enter(self, rows: Tensor, labels: Sequence[int]) -> list[int]:
        """Put rows in, and say where they are."""
        places = []
        for row, label in zip(rows.detach(), labels, strict=True):
            place = self.next % self.size
            if place == len(self.rows):
                self.rows.append(row)
                self.labels.append(label)
            self.rows[place], self.labels[place] = row.clone(), label
            places.append(place)
            self.next += 1
        return places

    def references(self, like: Tensor) -> Tensor:
        """What it holds, `[M, D]`."""
        return torch.stack(self.rows) if self.rows else like.detach()[:0]

    def chosen(self, labels: Sequence[int], places: Sequence[int] | None) -> Chosen:
        """The pairs and triplets of anchors with what it holds, but for an anchor with itself."""
        found = chosen_of(labels, self.labels)
        if places is None:
            return found
        for a, place in enumerate(places):
            found.positives[a].remove(place)
        triplets = [t for t in found.triplets if t[1] != places[t[0]]]
        return Chosen(found.positives, found.negatives, triplets)
