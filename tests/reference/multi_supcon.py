"""MultiSupCon, anchor by anchor (Zhang and Wu 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.matches import jaccard
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def multi_supcon(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    sets: Sequence[set[int]],
    ref_sets: Sequence[set[int]],
    temperature: float = 0.1,
) -> dict[str, Values]:
    """-1/|P| Σₚ J(a, p) log(exp(s(a, p) / τ) / Σⱼ exp(s(a, j) / τ)), j over the positives and negatives, each once."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        positives, negatives = sorted(set(chosen.positives[a])), sorted(set(chosen.negatives[a]))
        s = {j: measure.similarity(d[a][j]) / temperature for j in {*positives, *negatives}}
        terms = [
            jaccard(sets[a], ref_sets[p]) * total([(s[j] - s[p]).exp() for j in s if j != p]).log1p() for p in positives
        ]
        values.append((a, total(terms) / max(len(positives), 1)))
    return {"loss": Values(values)}
