"""PNP loss, comparison by comparison (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


def pnp(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    b: float = 2.0,
    alpha: float = 1.0,
    anneal: float = 0.01,
    variant: str = "O",
) -> dict[str, Values]:
    """1/|P| Σᵢ f(Σ_N σ); an anchor is among its positives, if it is ranked at all."""
    penalties: dict[str, Callable[[Tensor], Tensor]] = {
        "O": lambda r: r,
        "Iu": lambda r: (1 + r) * torch.log(1 + r),
        "Ib": lambda r: (b * r - torch.log(1 + b * r)) / b**2,
        "Ds": lambda r: torch.log(1 + r),
        "Dq": lambda r: 1 - 1 / (1 + r) ** alpha,
    }
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        if not chosen.positives[a]:
            continue
        s = [measure.similarity(v) / anneal for v in d[a]]
        positives = chosen.positives[a] + ([a] if x is y else [])
        before = [total([torch.sigmoid(s[n] - s[i]) for n in chosen.negatives[a]]) for i in positives]
        values.append((a, average([penalties[variant](r) for r in before])))
    return {"loss": Values(values)}
