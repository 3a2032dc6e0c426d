"""Passes over a matrix in the cache."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from metricreg.functional.observation import device_of

STRIP = 2**17
"""Values of a strip: few enough for several of them to be in the cache of one core."""


def strips(values: Tensor, number: int | None = None) -> Iterator[slice]:
    """Runs of rows of a matrix that fit in the cache; all rows where that is no matter.

    Args:
        values: `[A, M]`.
        number: of rows; A if None.
    """
    number = len(values) if number is None else number
    size = max(1, STRIP // max(1, values.shape[1])) if device_of(values) == "cpu" else max(1, number)
    return (slice(i, min(i + size, number)) for i in range(0, max(1, number), size))


def part(tensor: Tensor, rows: slice) -> Tensor:
    """Some rows of a tensor; itself, if they are all."""
    return tensor if (rows.start, rows.stop) == (0, tensor.shape[0]) else tensor[rows]
