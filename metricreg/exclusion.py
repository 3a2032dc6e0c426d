"""Masks that leave out a few listed columns of each row, and remember which: a list is quicker to go by than a mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.notes import note, noted

FEW = 4
"""A list is kept where a row has so many times more columns."""


@dataclass(frozen=True)
class Exclusion:
    """The columns that a mask `[A, M]` leaves out.

    Args:
        index: `[A, K]`. A row of fewer than K names one of its own again; one of none names any.
        none: bool `[A, 1]`, the rows that leave out nothing; None if there are none.
        number: int64 `[A]`, how many columns each row leaves out.
    """

    index: Tensor
    none: Tensor | None
    number: Tensor

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


def part(tensor: Tensor, rows: slice) -> Tensor:
    """Some rows of a tensor; itself, if they are all."""
    return tensor if (rows.start, rows.stop) == (0, len(tensor)) else tensor[rows]


def all_but_one(column: Tensor, width: int) -> Tensor:
    """A mask `[A, M]` that is true but in one column of each row, and remembers it.

    Args:
        column: `[A, 1]`.
        width: M.
    """
    mask = torch.ones(len(column), width, dtype=torch.bool, device=column.device).scatter_(1, column, False)
    note(mask, Exclusion(column, None, torch.ones_like(column[:, 0])))
    return mask


def all_but(index: Tensor, counts: Tensor, width: int) -> Tensor:
    """A mask `[A, M]` that is true but in the listed columns, and remembers them. Waits for the device, if it is one.

    Args:
        index: `[A, K]`, columns, each once a row.
        counts: bool `[A, K]`, which entries of the list are meant.
        width: M.
    """
    number = counts.sum(1)
    none: Tensor | None = None
    if not bool(counts.all()):
        index = torch.where(counts, index, index.gather(1, counts.int().argmax(1, keepdim=True)))
        none = (number == 0)[:, None]
        none = none if bool(none.any()) else None
    mask = torch.ones(len(index), width, dtype=torch.bool, device=index.device)
    if none is None:
        mask.scatter_(1, index, False)
    else:
        mask.scatter_(1, index, none.expand_as(index))
    note(mask, Exclusion(index, none, number))
    return mask


def exclusion_of(mask: Tensor) -> Exclusion | None:
    """What a mask leaves out, if it was made of a list and is still as it was."""
    found = noted(mask)
    return found if isinstance(found, Exclusion) else None
