"""SoftTriple, embedding by embedding (Qian et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure, dot_product_measure
from tests.reference.reducers import Values, total


def soft_triple(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    centers_per_class: int = 10,
    la: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
) -> dict[str, Values]:
    """Cross entropy of relaxed similarities, the true class's less the margin."""
    measure = dot_product_measure() if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, proxies)):
        relaxed = []
        for first in range(0, len(row), centers_per_class):
            own = [measure.similarity(s) for s in row[first : first + centers_per_class]]
            exponentials = [(s / gamma).exp() for s in own]
            relaxed.append(total([e * s for e, s in zip(exponentials, own, strict=True)]) / total(exponentials))
        true = relaxed[labels[a]] - margin
        others = [(la * (s - true)).exp() for c, s in enumerate(relaxed) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
