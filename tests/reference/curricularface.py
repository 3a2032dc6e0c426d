"""CurricularFace, embedding by embedding (Huang et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure
from tests.reference.reducers import Values, total


def curricularface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
    t: float = 0.0,
) -> dict[str, Values]:
    """ArcFace with the cosine s of each hard class, which is above that with the margin, replaced by s (t + s)."""
    m = math.radians(margin)
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        true = cosines[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        eased = [s * (t + s) if bool(s > with_margin) else s for s in cosines]
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(eased) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
