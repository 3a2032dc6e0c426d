"""Circle loss, anchor by anchor (Sun et al. 2020)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def circle(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, m: float = 0.4, gamma: float = 80.0
) -> dict[str, Values]:
    """log(1 + Σₙ exp(γ αₙ (sₙ - m)) Σₚ exp(-γ αₚ (sₚ - 1 + m))), the weights α without slope, each pair once."""
    s = measure.table(x, y)
    values = []
    for a in range(len(x)):
        pull, push = [], []
        for p in sorted(set(chosen.positives[a])):
            weight = max(1 + m - float(s[a][p].detach()), 0.0)
            pull.append((-gamma * weight * (s[a][p] - (1 - m))).exp())
        for n in sorted(set(chosen.negatives[a])):
            weight = max(float(s[a][n].detach()) + m, 0.0)
            push.append((gamma * weight * (s[a][n] - m)).exp())
        values.append((a, (total(push) * total(pull)).log1p()))
    return {"loss": Values(values)}
