"""Angular loss, positive pair by positive pair (Wang et al. 2017)."""

from __future__ import annotations

import math

from torch import Tensor

from tests.reference.distances import Measure, inner, unit
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def angular(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, alpha: float = 40.0) -> dict[str, Values]:
    """log(1 + Σₙ exp(4 tan²α <a + p, n> - 2 (1 + tan²α) <a, p>)), of unit vectors."""
    xs, ys, squared = [unit(a) for a in x], [unit(b) for b in y], math.tan(math.radians(alpha)) ** 2
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            near = 2 * (1 + squared) * inner(xs[a], ys[p])
            f = [4 * squared * inner(xs[a] + ys[p], ys[n]) - near for n in chosen.negatives[a]]
            values.append((a, total([v.exp() for v in f]).log1p() + near * 0.0))
    return {"loss": Values(values)}
