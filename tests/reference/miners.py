"""The miners, pair by pair and triplet by triplet."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.selection import Chosen

Tuples = list[tuple[int, ...]]


def multi_similarity(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, epsilon: float = 0.1
) -> tuple[Tuples, Tuples]:
    """Positives less similar than the nearest negative plus ε, negatives more than the farthest positive less ε."""
    positives: Tuples = []
    negatives: Tuples = []
    for a, row in enumerate(measure.table(x, y)):
        near, far = chosen.positives[a], chosen.negatives[a]
        if near and far:
            s = [measure.similarity(d) for d in row]
            positives += [(a, p) for p in near if bool(s[p] - epsilon < max(s[n] for n in far))]
            negatives += [(a, n) for n in far if bool(s[n] + epsilon > min(s[p] for p in near))]
    return positives, negatives


def triplet_margin(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, margin: float = 0.2, kind: str = "all"
) -> Tuples:
    """Triplets by g = d(a, n) - d(a, p)."""
    d = measure.table(x, y)
    found: Tuples = []
    for a, p, n in chosen.triplets:
        gap = float(measure.farther(d[a][n], d[a][p]))
        sort = {
            "all": gap <= margin,
            "hard": gap <= margin and gap <= 0,
            "semihard": 0 < gap <= margin,
            "easy": gap > margin,
        }
        found += [(a, p, n)] if sort[kind] else []
    return found


def batch_hard(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen) -> Tuples:
    """Each anchor's farthest positive and nearest negative."""
    found: Tuples = []
    for a, row in enumerate(measure.table(x, y)):
        near, far = chosen.positives[a], chosen.negatives[a]
        if near and far:
            s = [float(measure.similarity(d)) for d in row]
            found.append((a, min(near, key=s.__getitem__), max(far, key=s.__getitem__)))
    return found
