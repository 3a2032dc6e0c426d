"""Proxy anchor loss, proxy by proxy (Kim et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total


def proxy_anchor(
    measure: Measure,
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.1,
    alpha: float = 32.0,
) -> dict[str, Values]:
    """log(1 + Σ exp(-α(s - m) + w - 1)) over a proxy's positives, log(1 + Σ exp(α(s + m) + w - 1)) over the rest.

    Where all weights w are zero, no embedding counts.
    """
    d = [list(column) for column in zip(*measure.table(x, proxies), strict=True)] if len(x) else [[] for _ in proxies]
    pull, push = [], []
    for c, row in enumerate(d):
        near, far = [], []
        for a in range(len(x)):
            s, factor = row[a], math.exp(weights[a] - 1.0) if any(weights) else 0.0
            if labels[a] == c:
                near.append((alpha * measure.farther(s, margin)).exp() * factor)
            else:
                far.append((alpha * measure.farther(-margin, s)).exp() * factor)
        pull.append((c, total(near).log1p()))
        push.append((c, total(far).log1p()))
    present = len({int(label) for label in labels}) if any(weights) else 0
    return {"pos_loss": Values(pull, divisor=present), "neg_loss": Values(push, divisor=len(proxies))}
