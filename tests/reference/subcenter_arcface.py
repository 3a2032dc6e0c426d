"""Sub-center ArcFace, embedding by embedding (Deng et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure
from tests.reference.reducers import Values, total


def nearest(cosines: Sequence[Tensor]) -> Tensor:
    """The largest, as the mean of those that are."""
    best = [s for s in cosines if all(bool(s >= t) for t in cosines)]
    return total(best) / len(best)


def subcenter_arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
    sub_centers: int = 3,
) -> dict[str, Values]:
    """Cross entropy of the scaled cosines of each class's nearest center, the true class's angle increased."""
    m = math.radians(margin)
    values = []
    for a, row in enumerate(dot_product_measure().table(x, proxies)):
        cosines = [nearest(row[i : i + sub_centers]) for i in range(0, len(row), sub_centers)]
        true = cosines[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
