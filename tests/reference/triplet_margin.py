"""Triplet margin loss, triplet by triplet (Weinberger and Saul 2009)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure, raised
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def triplet_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    margin: float = 0.05,
    swap: bool = False,
    smooth: bool = False,
    power: float = 1.0,
) -> dict[str, Values]:
    """[d(a, p) - d(a, n) + m]₊, or log(1 + exp(...)); with swap the nearer of d(a, n) and d(p, n)."""
    d = measure.table(x, y)
    between = measure.table(y, y) if swap else []
    values = []
    for a, p, n in chosen.triplets:
        to_negative = measure.nearer(d[a][n], between[p][n]) if swap else d[a][n]
        violation = measure.farther(d[a][p], to_negative) + margin
        cost = violation.exp().log1p() if smooth else violation.relu()
        values.append((a, raised(cost, power)))
    return {"loss": Values(values)}
