"""Large-margin softmax, embedding by embedding (Liu et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure, norm
from tests.reference.reducers import Values, total


def psi(cosine: Tensor, margin: int) -> Tensor:
    """(-1)^k cos(m theta) - 2k for theta between k pi / m and (k + 1) pi / m."""
    theta = cosine.clamp(-1, 1).acos()
    k = max(k for k in range(margin) if k == 0 or bool(theta > k * math.pi / margin))
    return (-1) ** k * (margin * theta).cos() - 2 * k


def large_margin_softmax(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: int = 4,
    scale: float = 1.0,
    unit_proxies: bool = False,
) -> dict[str, Values]:
    """Cross entropy of |x| |w| cos(theta), psi(theta) for the true class."""
    values = []
    lengths = [1.0 if unit_proxies else norm(w) for w in proxies]
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        y, size = labels[a], scale * norm(x[a])
        true = size * lengths[y] * psi(cosines[y], margin)
        others = [(size * lengths[c] * s - true).exp() for c, s in enumerate(cosines) if c != y]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
