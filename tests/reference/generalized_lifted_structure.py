"""Generalized lifted structure loss, anchor by anchor (Hermans et al. 2017)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def generalized_lifted_structure(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, neg_margin: float = 1.0, pos_margin: float = 0.0
) -> dict[str, Values]:
    """[log Σₚ exp(d(a, p) - m⁺) + log Σₙ exp(m⁻ - d(a, n))]₊, each pair once; a sum of nothing is left out."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        far = [measure.farther(d[a][p], pos_margin).exp() for p in sorted(set(chosen.positives[a]))]
        near = [measure.farther(neg_margin, d[a][n]).exp() for n in sorted(set(chosen.negatives[a]))]
        values.append((a, total([total(part).log() for part in (far, near) if part]).relu()))
    return {"loss": Values(values)}
