"""VICReg, entry by entry (Bardes et al. 2022), with the denominators of its authors' code."""

from __future__ import annotations

from torch import Tensor

from tests.reference.reducers import Values, average, total


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
