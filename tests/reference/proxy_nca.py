"""Proxy NCA, embedding by embedding (Movshovitz-Attias et al. 2017), the own proxy among all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure, lp_measure
from tests.reference.reducers import Values, total


def proxy_nca(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    softmax_scale: float = 1.0,
) -> dict[str, Values]:
    """-log of the softmax of scaled distances with their sign turned."""
    measure = lp_measure(power=2.0) if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, proxies)):
        logits = [softmax_scale * measure.similarity(s) for s in row]
        others = [(u - logits[labels[a]]).exp() for c, u in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
