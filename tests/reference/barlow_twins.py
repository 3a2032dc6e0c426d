"""Barlow Twins, entry by entry (Zbontar et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.distances import inner, unit
from tests.reference.reducers import average, total


def standardised(feature: Tensor) -> Tensor:
    """Less its mean, of unit length; the zero vector, without slope, if all entries are alike."""
    if bool((feature == feature[0]).all()):
        return torch.zeros_like(feature)
    return unit(feature - average(list(feature)))


def barlow_twins(x: Tensor, y: Tensor, redundancy_lambda: float = 0.0051) -> Tensor:
    """Σᵢ (1 - Cᵢᵢ)² + λ Σᵢⱼ Cᵢⱼ² of the correlations of the features of two views; 0 of fewer than two rows."""
    if len(x) < 2:
        return total([])
    left, right = ([standardised(feature) for feature in z.T] for z in (x, y))
    c = [[inner(a, b) for b in right] for a in left]
    near = [(1.0 - c[i][i]) ** 2 for i in range(len(c))]
    return total(near) + redundancy_lambda * total(
        [c[i][j] ** 2 for i in range(len(c)) for j in range(len(c)) if i != j]
    )
