"""NT-Xent, positive pair by positive pair (Chen et al. 2020)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def ntxent(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, temperature: float = 0.07) -> dict[str, Values]:
    """log(1 + Σₙ exp((s(a, n) - s(a, p)) / τ)), which is -log of the softmax of p among p and all n."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            near = measure.similarity(d[a][p])
            ratios = [((measure.similarity(d[a][n]) - near) / temperature).exp() for n in chosen.negatives[a]]
            values.append((a, total(ratios).log1p() + near * 0.0))
    return {"loss": Values(values)}
