"""Smooth-AP, comparison by comparison (Brown et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


def smooth_ap(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, temperature: float = 0.01) -> dict[str, Values]:
    """1 - 1/|P| Σᵢ (1 + Σ_P σ) / (1 + Σ_P σ + Σ_N σ); an anchor is among its positives, if it is ranked at all."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        if not chosen.positives[a]:
            continue
        s = [measure.similarity(v) / temperature for v in d[a]]
        positives = chosen.positives[a] + ([a] if x is y else [])
        precision = []
        for i in positives:
            among = 1 + total([torch.sigmoid(s[j] - s[i]) for j in positives if j != i])
            precision.append(among / (among + total([torch.sigmoid(s[n] - s[i]) for n in chosen.negatives[a]])))
        values.append((a, 1 - average(precision)))
    return {"loss": Values(values)}
