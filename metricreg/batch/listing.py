"""A list sorted by keys as a matrix: the entries of each wanted key in a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.functional.notes import note, noted


@dataclass(frozen=True)
class Runs:
    """Where in a sorted list the entries of each row's key stand.

    Args:
        columns: `[T]`, what is listed, sorted by key.
        start: `[A]`, the first entry of each row.
        stop: `[A]`, that after the last.
        width: K, how many the longest row has.
    """

    columns: Tensor
    start: Tensor
    stop: Tensor
    width: int

    @classmethod
    def of(cls, keys: Tensor, columns: Tensor, wanted: Tensor) -> Runs:
        """The runs of some keys. Finding K waits for the device, if it is one.

        Args:
            keys: `[T]`, sorted.
            columns: `[T]`, what is listed under each key.
            wanted: `[A]`, the key of each row.
        """
        start, stop = torch.searchsorted(keys, wanted), torch.searchsorted(keys, wanted, right=True)
        # a compiler wants to know that there is more than one column, which the data alone would tell
        least = 2 if torch.compiler.is_compiling() else 0
        width = int((stop - start).max().clamp(min=least)) if len(wanted) else 0
        if torch.compiler.is_compiling():
            torch._check(width >= least)  # type: ignore[no-untyped-call]
        return cls(columns, start, stop, width)

    def matrix(self) -> tuple[Tensor, Tensor]:
        """The columns `[A, K]` listed under each row's key, and which of those entries count, bool `[A, K]`."""
        padded = torch.nn.functional.pad(self.columns, (0, 1))  # what entries after the last lead to, and do not count
        entry = self.start[:, None] + torch.arange(self.width, device=self.columns.device)
        return padded[entry.clamp(max=len(self.columns))], entry < self.stop[:, None]


def own_columns(rows: Tensor) -> Tensor:
    """The column of each row `[N]` where rows are compared with themselves; `are_own_columns` knows it again."""
    index = torch.arange(len(rows), device=rows.device)
    note(index, "own columns")
    return index


def are_own_columns(index: Tensor | None) -> bool:
    """Whether columns were made by `own_columns`. Does not look at them, and so never waits for a device."""
    return index is not None and bool(noted(index) == "own columns")
