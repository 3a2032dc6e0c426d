"""CosFace, embedding by embedding (Wang et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure
from tests.reference.reducers import Values, total


def cosface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.35,
    scale: float = 64.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's less the margin."""
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        own = cosines[labels[a]] - margin
        others = [(scale * (s - own)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
