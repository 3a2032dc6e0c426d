"""Decoupled contrastive loss, positive pair by positive pair (Yeh et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


def decoupled_contrastive(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    temperature: float = 0.1,
    weighting: str | None = None,
    sigma: float = 0.5,
) -> dict[str, Values]:
    """-w s(a, p)/τ + log Σₙ exp(s(a, n)/τ), with w 1 or 2 - exp(s(a, p)/σ) over the mean of that; no log of nothing."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]
    pairs = [(a, p) for a in range(len(x)) for p in chosen.positives[a]]
    mean = average([(s[a][p] / sigma).exp() for a, p in pairs])
    values = []
    for a, p in pairs:
        weight = 1.0 if weighting is None else 2.0 - (s[a][p] / sigma).exp() / mean
        value = -weight * s[a][p] / temperature
        if chosen.negatives[a]:
            value = value + total([(s[a][n] / temperature).exp() for n in chosen.negatives[a]]).log()
        values.append((a, value))
    return {"loss": Values(values)}
