"""ArcFace, embedding by embedding (Deng et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure
from tests.reference.reducers import Values, total


def arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle increased by the margin."""
    m = math.radians(margin)
    values = []
    cosines = dot_product_measure().table(x, proxies)
    for a in range(len(x)):
        logits = cosines[a]
        true = logits[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
