"""P2SGrad, entry by entry (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import dot_product_measure
from tests.reference.reducers import Values, total


def p2s_grad(x: Tensor, proxies: Tensor, labels: Sequence[int], weights: Sequence[float]) -> dict[str, Values]:
    """The mean over embeddings and classes of the squared errors of the cosines."""
    errors = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        errors += [weights[a] * (s - (1.0 if c == labels[a] else 0.0)) ** 2 for c, s in enumerate(cosines)]
    return {"loss": Values([(0, total(errors) / max(len(errors), 1))])}
