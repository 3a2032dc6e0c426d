"""A list sorted by keys as a matrix: the entries of each wanted key in a row."""

from __future__ import annotations

import torch
from torch import Tensor


def columns_by_row(keys: Tensor, columns: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The columns `[A, K]` listed under each row's key, and which of those entries count, bool `[A, K]`.

    K is how many the longest row has. Finding it waits for the device, if it is one.

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
    padded = torch.nn.functional.pad(columns, (0, 1))  # what entries after the last lead to, and do not count
    entry = start[:, None] + torch.arange(width, device=keys.device)
    return padded[entry.clamp(max=len(columns))], entry < stop[:, None]
