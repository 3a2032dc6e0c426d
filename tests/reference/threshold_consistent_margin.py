"""Threshold-consistent margin loss, pair by pair (Zhang et al. 2024)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average
from tests.reference.selection import Chosen


def threshold_consistent_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    lambda_plus: float = 1.0,
    lambda_minus: float = 1.0,
    margin_plus: float = 0.9,
    margin_minus: float = 0.5,
) -> dict[str, Values]:
    """Means over the positive pairs of at most one similarity, and the negative pairs of at least another."""
    s = measure.table(x, y)
    positive = [s[a][p] for a in range(len(x)) for p in chosen.positives[a]]
    negative = [s[a][n] for a in range(len(x)) for n in chosen.negatives[a]]
    pull = average([margin_plus - v for v in positive if bool(v <= margin_plus)])
    push = average([v - margin_minus for v in negative if bool(v >= margin_minus)])
    return {"loss": Values([(0, lambda_plus * pull + lambda_minus * push)])}
