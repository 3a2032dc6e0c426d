"""Ranked list loss, anchor by anchor (Wang et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def ranked_list(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    margin: float = 0.5,
    Tn: float = 2.0,
    imbalance: float = 0.5,
    alpha: float | None = None,
    Tp: float = 0.0,
) -> dict[str, Values]:
    """(1 - λ) Σ wₚ (d - (α - m)) / Σ wₚ + λ Σ wₙ (α - d) / Σ wₙ, over the pairs that violate, each once."""
    alpha = 1 + margin / 2 if alpha is None else alpha
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        far = [d[a][p] - (alpha - margin) for p in sorted(set(chosen.positives[a]))]
        near = [alpha - d[a][n] for n in sorted(set(chosen.negatives[a]))]
        parts = []
        for excess, temperature, share in ((far, Tp, 1 - imbalance), (near, Tn, imbalance)):
            kept = [v for v in excess if bool(v > 0)]
            weights = [(temperature * v).exp() for v in kept]
            if kept:
                products = [w * v for w, v in zip(weights, kept, strict=True)]
                parts.append(share * total(products) / total(weights))
        values.append((a, total(parts)))
    return {"loss": Values(values)}
