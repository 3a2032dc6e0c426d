"""Lifted structure loss, positive pair by positive pair (Song et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def lifted_structure(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, neg_margin: float = 1.0, pos_margin: float = 0.0
) -> dict[str, Values]:
    """½ [log(Σₖ exp(m - d(i, k)) + Σₖ exp(m - d(j, k))) + d(i, j) - m⁺]₊²; the log of nothing is -∞."""
    d = measure.table(x, y)
    values = []
    for i in range(len(x)):
        for j in chosen.positives[i]:
            far = [d[i][k] for k in chosen.negatives[i]]
            if x is y:
                far += [d[j][k] for k in chosen.negatives[j]]
            else:
                far += [d[k][j] for k in range(len(x)) for n in chosen.negatives[k] if n == j]
            push = [measure.farther(neg_margin, u).exp() for u in far]
            violation = total(push).log() + measure.farther(d[i][j], pos_margin) if push else d[i][j] * 0.0
            values.append((i, violation.relu() ** 2 / 2))
    return {"loss": Values(values)}
