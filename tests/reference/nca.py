"""Neighbourhood components analysis, anchor by anchor (Goldberger et al. 2004)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def nca(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, softmax_scale: float = 1.0) -> dict[str, Values]:
    """-log(Σₚ exp(σ s(a, p)) / Σⱼ exp(σ s(a, j))), j over the positives and negatives."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        near = [(softmax_scale * measure.similarity(d[a][p])).exp() for p in chosen.positives[a]]
        far = [(softmax_scale * measure.similarity(d[a][n])).exp() for n in chosen.negatives[a]]
        if near:
            values.append((a, -(total(near) / total(near + far)).log()))
    return {"loss": Values(values)}
