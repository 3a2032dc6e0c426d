"""Losses on all of a row, loop by loop: of a measure, anchors, references, and what is chosen of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


# FastAP, anchor by anchor and bin by bin (Cakir et al. 2019).
def fast_ap(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, num_bins: int = 10, largest: float = 4.0
) -> dict[str, Values]:
    """1 - 1/|P| Σₗ h⁺ₗ H⁺ₗ / Hₗ, with triangular bins; a bin at or before which there is nothing has no part."""
    d = measure.table(x, y)
    width = largest / num_bins
    values = []
    for a in range(len(x)):
        if not chosen.positives[a]:
            continue
        precision, found, ranked = [], x.new_zeros(()), x.new_zeros(())
        for edge in range(num_bins + 1):
            pulse = {
                j: torch.relu(1 - (d[a][j] - edge * width).abs() / width)
                for j in chosen.positives[a] + chosen.negatives[a]
            }
            here = total([pulse[p] for p in chosen.positives[a]])
            found = found + here
            ranked = ranked + total(list(pulse.values()))
            if bool(ranked > 0):
                precision.append(here * found / ranked)
        values.append((a, 1 - total(precision) / len(chosen.positives[a])))
    return {"loss": Values(values)}


# Neighbourhood components analysis, anchor by anchor (Goldberger et al. 2004).
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


# PNP loss, comparison by comparison (Li et al. 2022).
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


# Recall@k surrogate loss, comparison by comparison (Patel et al. 2022).
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


# Smooth-AP, comparison by comparison (Brown et al. 2020).
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
