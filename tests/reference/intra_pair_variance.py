"""Intra-pair variance loss, pair by pair (Yu and Tao 2019)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, average
from tests.reference.selection import Chosen


def intra_pair_variance(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, pos_eps: float = 0.01, neg_eps: float = 0.01
) -> dict[str, Values]:
    """[(1 - ε) μ - s]₊² of positive pairs, [s - (1 + ε) μ]₊² of negative pairs; of distances the other way."""
    d = measure.table(x, y)
    near = [(a, d[a][p]) for a in range(len(x)) for p in chosen.positives[a]]
    far = [(a, d[a][n]) for a in range(len(x)) for n in chosen.negatives[a]]
    near_mean, far_mean = average([v for _, v in near]), average([v for _, v in far])
    if measure.inverted:
        pull = [(a, (1 - pos_eps) * near_mean - v) for a, v in near]
        push = [(a, v - (1 + neg_eps) * far_mean) for a, v in far]
    else:
        pull = [(a, v - (1 + pos_eps) * near_mean) for a, v in near]
        push = [(a, (1 - neg_eps) * far_mean - v) for a, v in far]
    return {
        "pos_loss": Values([(a, v.relu() ** 2) for a, v in pull]),
        "neg_loss": Values([(a, v.relu() ** 2) for a, v in push]),
    }
