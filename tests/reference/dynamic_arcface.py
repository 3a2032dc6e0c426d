"""Dynamic-margin ArcFace, embedding by embedding (Ha et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.reducers import Values
from tests.reference.subcenter_arcface import subcenter_arcface


def class_margins(
    counts: Sequence[int], bounds: tuple[float, float] = (2.86, 28.6), power: float = 0.25
) -> list[float]:
    """a n^-power + b of each count n, in degrees; a and b from the bounds, which the extreme counts meet."""
    lower, upper = bounds
    if min(counts) == max(counts):
        return [upper for _ in counts]
    a = (upper - lower) / (min(counts) ** -power - max(counts) ** -power)
    b = upper - a * min(counts) ** -power
    return [a * n**-power + b for n in counts]


def dynamic_arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margins: Sequence[float] = (),
    scale: float = 64.0,
    sub_centers: int = 3,
) -> dict[str, Values]:
    """Sub-center ArcFace, each embedding with the margin of its class."""
    values = []
    for a, label in enumerate(labels):
        one = subcenter_arcface(x[a : a + 1], proxies, [label], [weights[a]], margins[label], scale, sub_centers)
        values.append((a, one["loss"].entries[0][1]))
    return {"loss": Values(values)}
