"""Masks that leave out a few listed columns of each row, and remember which: a list is quicker to go by than a mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.functional.cache import part
from metricreg.functional.notes import note, noted

FEW = 4
"""A list is kept where a row has so many times more columns."""


@dataclass(frozen=True)
class Exclusion:
    """The columns that a mask `[A, M]` leaves out.

    Args:
        index: `[A, K]`. A row of fewer than K names one of its own again; one of none names any.
        none: bool `[A, 1]`, the rows that leave out nothing; None if there are none.
        counts: bool `[A, K]`, which entries are no repetition and no other's; all if None.
    """

    index: Tensor
    none: Tensor | None = None
    counts: Tensor | None = None

    @classmethod
    def of(cls, index: Tensor, counts: Tensor) -> Exclusion:
        """The listed columns. Waits for the device, if it is one.

        Args:
            index: `[A, K]`, columns, each once a row.
            counts: bool `[A, K]`, which entries of the list are meant.
        """
        if bool(counts.all()):
            return cls(index)
        none = ~counts.any(1, keepdim=True)
        first = index.gather(1, counts.view(torch.uint8).argmax(1, keepdim=True))
        return cls(torch.where(counts, index, first), none if bool(none.any()) else None, counts)

    @property
    def number(self) -> Tensor:
        """How many columns each row leaves out: int64 `[A]`."""
        if self.counts is None:
            rows, width = self.index.shape
            return torch.full((rows,), width, dtype=torch.int64, device=self.index.device)
        return self.counts.sum(1)

    def mask(self, width: int) -> Tensor:
        """A mask `[A, M]` that is true elsewhere, and remembers this."""
        mask = torch.ones(len(self.index), width, dtype=torch.bool, device=self.index.device)
        mask = mask.scatter_(1, self.index, False if self.none is None else self.none.expand_as(self.index))
        note(mask, self)
        return mask

    def filled(self, values: Tensor, fill: float) -> Tensor:
        """Values `[A, M]` with another in the place of what is left out; themselves if that is nothing."""
        if not self.index.shape[1]:
            return values
        if self.none is None:
            return values.scatter(1, self.index, fill)
        return values.scatter(1, self.index, values.gather(1, self.index).masked_fill(~self.none, fill))

    def fill_(self, values: Tensor, rows: slice, fill: float) -> Tensor:
        """Write another value to what is left out of some rows `[R, M]`."""
        if not self.index.shape[1]:
            return values
        index = part(self.index, rows)
        if self.none is None:
            return values.scatter_(1, index, fill)
        return values.scatter_(1, index, values.gather(1, index).masked_fill_(~part(self.none, rows), fill))


def exclusion_of(mask: Tensor) -> Exclusion | None:
    """What a mask leaves out, if it was made of a list and is still as it was."""
    found = noted(mask)
    return found if isinstance(found, Exclusion) else None
