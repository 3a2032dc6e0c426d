"""Recall@k surrogate loss, comparison by comparison (Patel et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


def recall_at_k(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    k: Sequence[int] = (1, 2, 4, 8, 16),
    k_temperatures: Sequence[float] = (1, 1, 1, 1, 1),
    temperature: float = 0.01,
) -> dict[str, Values]:
    """The mean over k of 1 - Σᵢ σ((k - rᵢ) / τₖ) / min(k, |P|), or of 0 if that is more."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        positives, everything = chosen.positives[a], chosen.positives[a] + chosen.negatives[a]
        if not positives:
            continue
        s = [measure.similarity(v) / temperature for v in d[a]]
        ranks = [1 + total([torch.sigmoid(s[j] - s[i]) for j in everything if j != i]) for i in positives]
        losses = []
        for first, softness in zip(k, k_temperatures, strict=True):
            found = total([torch.sigmoid((first - rank) / softness) for rank in ranks])
            recall = found / min(first, len(positives))
            losses.append(1 - recall if bool(recall < 1) else recall * 0)
        values.append((a, average(losses)))
    return {"loss": Values(values)}
