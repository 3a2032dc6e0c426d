"""SupCon, anchor by anchor (Khosla et al. 2020)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def supcon(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, temperature: float = 0.1) -> dict[str, Values]:
    """-1/|P| Σₚ log(exp(s(a, p) / τ) / Σⱼ exp(s(a, j) / τ)), j over the positives and negatives, each once."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        positives, negatives = sorted(set(chosen.positives[a])), sorted(set(chosen.negatives[a]))
        s = {j: measure.similarity(d[a][j]) / temperature for j in {*positives, *negatives}}
        terms = [total([(s[j] - s[p]).exp() for j in s if j != p]).log1p() for p in positives]
        values.append((a, total(terms) / max(len(positives), 1)))
    return {"loss": Values(values)}
