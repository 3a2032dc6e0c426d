"""Dynamic soft margin loss, triplet by triplet (Zhang and Rusinkiewicz 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def _places(differences: Sequence[Tensor], min_val: float, bins: int) -> list[float]:
    width = -2.0 * min_val / bins
    return [min(max((float(v.detach()) - min_val) / width, 0.0), float(bins)) for v in differences]


def moved(
    before: Sequence[float], differences: Sequence[Tensor], min_val: float = -2.0, momentum: float = 0.01
) -> list[float]:
    """The running histogram after a step; that of the first step is its own."""
    bins, share = len(before) - 1, [0.0] * len(before)
    for place in _places(differences, min_val, bins):
        lower = min(math.floor(place), bins - 1)
        share[lower] += (1.0 - (place - lower)) / len(differences)
        share[lower + 1] += (place - lower) / len(differences)
    if not differences:
        return list(before)
    part = momentum if any(before) else 1.0
    return [(1.0 - part) * b + part * s for b, s in zip(before, share, strict=True)]


def differences_of(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen) -> list[tuple[int, Tensor]]:
    """By how much each triplet's positive is farther than its negative."""
    d = measure.table(x, y)
    return [(a, measure.farther(d[a][p], d[a][n])) for a, p, n in chosen.triplets]


def weighed(
    differences: Sequence[tuple[int, Tensor]], histogram: Sequence[float], min_val: float = -2.0
) -> dict[str, Values]:
    """Each difference times the cumulative histogram at the lower edge of its bin."""
    places = _places([v for _, v in differences], min_val, len(histogram) - 1)
    shares = [sum(histogram[: math.floor(place) + 1]) for place in places]
    return {"loss": Values([(a, share * v) for (a, v), share in zip(differences, shares, strict=True)])}


def dynamic_soft_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    min_val: float = -2.0,
    num_bins: int = 10,
    momentum: float = 0.01,
    before: Sequence[float] = (),
) -> dict[str, Values]:
    """The loss of a step after which the histogram is `moved`; of the first one, if there is none before."""
    found = differences_of(measure, x, y, chosen)
    histogram = moved(before or [0.0] * (num_bins + 1), [v for _, v in found], min_val, momentum)
    return weighed(found, histogram, min_val)
