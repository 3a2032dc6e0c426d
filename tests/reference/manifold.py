"""Manifold loss, node by node (Aziere and Todorovic 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.distances import dot_product_measure, inner, norm
from tests.reference.reducers import Values, average, total


def manifold(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    lambda_c: float = 1.0,
    alpha: float = 0.8,
    margin: float = 5e-4,
) -> dict[str, Values]:
    """The mean over embeddings of the excess in F and in the cosines of its rows; the walk step by step to its end."""
    nodes = torch.cat([x, proxies.to(x.dtype)])
    cosines, count = dot_product_measure().table(nodes, nodes), len(nodes)
    graph = [
        [(2 * cosines[i][j].relu()).exp() if i != j else x.new_zeros(()) for j in range(count)] for i in range(count)
    ]
    degrees = [total(row) for row in graph]
    step = torch.stack(
        [torch.stack([graph[i][j] / (degrees[i] * degrees[j]).sqrt() for j in range(count)]) for i in range(count)]
    )
    start = torch.eye(count, dtype=x.dtype)
    walk = start
    for _ in range(200):  # alpha to this power is far below rounding
        walk = alpha * step @ walk + (1 - alpha) * start

    def excess(values: list[Tensor], own: int) -> Tensor:
        others = [v - values[own] + margin for k, v in enumerate(values) if k != own]
        return torch.log(1 + total([v.exp() for v in others if bool(v >= 0)]))

    losses = []
    for i in range(len(x)):
        intrinsic = excess(list(walk[i, len(x) :]), labels[i])
        rows = [inner(walk[i], row) / (norm(walk[i]) * norm(row)) for row in walk[len(x) :]]
        losses.append(weights[i] * (intrinsic + lambda_c * excess(rows, labels[i])))
    return {"loss": Values([(0, average(losses))])}
