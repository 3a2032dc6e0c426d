"""SigLIP, pair by pair (Zhai et al. 2023)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def siglip(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, log_temperature: Tensor, bias: Tensor
) -> dict[str, Values]:
    """-log sigmoid(t s + b) of positive pairs, -log sigmoid(-t s - b) of negative pairs; over the number of anchors."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]

    def values(pairs: list[list[int]], sign: float) -> Values:
        logits = [(a, sign * (log_temperature.exp() * s[a][j] + bias)) for a in range(len(x)) for j in pairs[a]]
        return Values([(a, (-v).exp().log1p() + 0.0 * v) for a, v in logits], float(len(x)))

    return {"pos_loss": values(chosen.positives, 1.0), "neg_loss": values(chosen.negatives, -1.0)}
