"""Normalized softmax loss, embedding by embedding (Zhai and Wu 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.distances import Measure, dot_product_measure, unit
from tests.reference.reducers import Values, total


def normalized_softmax(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    temperature: float = 0.05,
) -> dict[str, Values]:
    """-log of the softmax of the similarities to unit proxies over the temperature."""
    measure = dot_product_measure() if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, torch.stack([unit(p) for p in proxies]))):
        logits = [measure.similarity(s) / temperature for s in row]
        others = [(u - logits[labels[a]]).exp() for c, u in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
