"""AdaFace, embedding by embedding (Kim et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure, norm
from tests.reference.reducers import Values, total


def adaface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.4,
    h: float = 0.333,
    scale: float = 64.0,
    mean: float = 20.0,
    std: float = 100.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle and cosine changed by the standardised length."""
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        length = min(max(float(norm(x[a]).detach()), 1e-3), 100.0)
        z = min(max(h * (length - mean) / (std + 1e-3), -1.0), 1.0)
        theta = cosines[labels[a]].clamp(-1, 1).acos()
        own = (theta - margin * z).clamp(0.0, math.pi).cos() - margin * (1.0 + z)
        others = [(scale * (s - own)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
