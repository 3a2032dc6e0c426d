"""Losses on two views of the same things, feature by feature."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.distances import inner, unit
from tests.reference.reducers import Values, average, total


# Barlow Twins, entry by entry (Zbontar et al. 2021).
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


# VICReg, entry by entry (Bardes et al. 2022), with the denominators of its authors' code.
def covariance(z: Tensor, i: int, j: int) -> Tensor:
    """Of two features, over one row less than there are."""
    left, right = list(z[:, i]), list(z[:, j])
    a, b = average(left), average(right)
    return total([(u - a) * (v - b) for u, v in zip(left, right, strict=True)]) / (len(z) - 1)


def vicreg(
    x: Tensor,
    y: Tensor,
    invariance_lambda: float = 25.0,
    variance_mu: float = 25.0,
    covariance_v: float = 1.0,
    eps: float = 1e-4,
) -> tuple[Values, Tensor]:
    """The first part's value of each row; and the sum of the others, which are zero of fewer than two rows."""
    near = [
        (a, invariance_lambda * average([(u - v) ** 2 for u, v in zip(x[a], y[a], strict=True)])) for a in range(len(x))
    ]
    if len(x) < 2:
        return Values(near), total([])
    features, parts = range(x.shape[1]), []
    for z in (x, y):
        spread = [(1.0 - (covariance(z, j, j) + eps).sqrt()).relu() for j in features]
        parts.append(variance_mu * average(spread) / 2.0)
        parts.append(
            covariance_v * total([covariance(z, i, j) ** 2 for i in features for j in features if i != j]) / x.shape[1]
        )
    return Values(near), total(parts)
