"""Multi-similarity loss, anchor by anchor (Wang et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def multi_similarity(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> dict[str, Values]:
    """1/α log(1 + Σₚ exp(-α(s - λ))) + 1/β log(1 + Σₙ exp(β(s - λ))), each pair once."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        pull = [(alpha * measure.farther(d[a][p], base)).exp() for p in sorted(set(chosen.positives[a]))]
        push = [(beta * measure.farther(base, d[a][n])).exp() for n in sorted(set(chosen.negatives[a]))]
        values.append((a, total(pull).log1p() / alpha + total(push).log1p() / beta))
    return {"loss": Values(values)}
