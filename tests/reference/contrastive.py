"""Contrastive loss, pair by pair (Hadsell et al. 2006)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure, raised
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def contrastive(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    pos_margin: float = 0.0,
    neg_margin: float = 1.0,
    power: float = 1.0,
) -> dict[str, Values]:
    """[d(a, p) - m⁺]₊ of each positive pair, [m⁻ - d(a, n)]₊ of each negative pair."""
    d = measure.table(x, y)
    positive, negative = [], []
    for a in range(len(x)):
        pull = [measure.farther(d[a][p], pos_margin).relu() for p in chosen.positives[a]]
        push = [measure.farther(neg_margin, d[a][n]).relu() for n in chosen.negatives[a]]
        positive += [(a, raised(value, power)) for value in pull]
        negative += [(a, raised(value, power)) for value in push]
    return {"pos_loss": Values(positive), "neg_loss": Values(negative)}
