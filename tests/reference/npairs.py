"""N-pairs loss, class by class (Sohn 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def pairs_of_classes(chosen: Chosen, labels: Sequence[int]) -> list[tuple[int, int]]:
    """The first anchor of each class that has a positive, and the first of those; in the order of the classes."""
    found: dict[int, tuple[int, int]] = {}
    for a, positives in enumerate(chosen.positives):
        if positives and labels[a] not in found:
            found[labels[a]] = (a, positives[0])
    return [found[label] for label in sorted(found)]


def npairs(measure: Measure, x: Tensor, y: Tensor, pairs: Sequence[tuple[int, int]]) -> dict[str, Values]:
    """log(1 + Σⱼ exp(s(aᵢ, pⱼ) - s(aᵢ, pᵢ))) over the pairs of the other classes; a value a pair."""
    d = measure.table(x, y)
    values = []
    for i, (a, own) in enumerate(pairs):
        s = {j: measure.similarity(d[a][p]) for j, (_, p) in enumerate(pairs)}
        ratios = [(s[j] - measure.similarity(d[a][own])).exp() for j in s if j != i]
        values.append((i, total(ratios).log1p() + s[i] * 0.0))
    return {"loss": Values(values)}
