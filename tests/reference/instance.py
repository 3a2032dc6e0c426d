"""Instance loss, anchor by anchor (Zheng et al. 2017), the batch in the place of the class vectors."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def instance(measure: Measure, x: Tensor, references: Tensor, chosen: Chosen, gamma: float = 64.0) -> dict[str, Values]:
    """-log of the softmax's share of the anchor itself and its positives, of those and its negatives."""
    table = [[gamma * measure.similarity(s) for s in row] for row in measure.table(x, references)]
    values = []
    for a in range(len(x)):
        own = [*chosen.positives[a], *([a] if references is x else [])]
        if own and (chosen.positives[a] or chosen.negatives[a]):
            first = table[a][own[0]]
            together = total([(table[a][j] - first).exp() for j in own])
            apart = total([(table[a][j] - first).exp() for j in chosen.negatives[a]])
            values.append((a, (apart / together).log1p()))
    return {"loss": Values(values)}
