"""Selectively contrastive triplet loss, triplet by triplet (Xuan et al. 2020)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def selectively_contrastive_triplet(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, hard_weight: float = 1.0, temperature: float = 0.1
) -> dict[str, Values]:
    """λ s(a, n) where the negative is nearer than the positive, else -log softmax of the positive of the two."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]
    values = []
    for a, p, n in chosen.triplets:
        if bool(s[a][n] - s[a][p] > 1e-12):  # but for rounding
            values.append((a, hard_weight * s[a][n] + 0.0 * s[a][p]))
        else:
            values.append((a, ((s[a][n] - s[a][p]) / temperature).exp().log1p()))
    return {"loss": Values(values)}
