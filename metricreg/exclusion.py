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
        none: bool `[A, 1]`, the rows that leave out nothing.
        number: int64 `[A]`, how many columns each row leaves out.
    """

    index: Tensor
    none: Tensor
    number: Tensor

    def filled(self, values: Tensor, fill: float) -> Tensor:
        """Values `[A, M]` with another in the place of what is left out; themselves if that is nothing."""
        if not self.index.shape[1]:
            return values
        return values.scatter(1, self.index, values.gather(1, self.index).masked_fill(~self.none, fill))


def all_but(index: Tensor, counts: Tensor, width: int) -> Tensor:
    """A mask `[A, M]` that is true but in the listed columns, and remembers them.

    Args:
        index: `[A, K]`, columns, each once a row.
        counts: bool `[A, K]`, which entries of the list are meant.
        width: M.
    """
    number = counts.sum(1)
    none = (number == 0)[:, None]
    if index.shape[1]:
        own = index.gather(1, counts.int().argmax(1, keepdim=True))
        index = torch.where(counts, index, own)
    exclusion = Exclusion(index, none, number)
    mask = torch.ones(len(index), width, dtype=torch.bool, device=index.device)
    if index.shape[1]:
        mask.scatter_(1, index, none.expand_as(index))
    note(mask, exclusion)
    return mask


def exclusion_of(mask: Tensor) -> Exclusion | None:
    """What a mask leaves out, if it was made of a list and is still as it was."""
    found = noted(mask)
    return found if isinstance(found, Exclusion) else None
