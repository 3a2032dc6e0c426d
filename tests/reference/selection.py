"""Which pairs and triplets count, as plain lists of indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chosen:
    """Per anchor its positives and negatives, listed as often as they count, and all triplets."""

    positives: list[list[int]]
    negatives: list[list[int]]
    triplets: list[tuple[int, int, int]]


def chosen_of(labels: Sequence[int], ref_labels: Sequence[int] | None = None) -> Chosen:
    """All pairs and triplets of a batch with itself, or with a separate set."""
    others = labels if ref_labels is None else ref_labels
    positives: list[list[int]] = [[] for _ in labels]
    negatives: list[list[int]] = [[] for _ in labels]
    for a, label in enumerate(labels):
        for j, other in enumerate(others):
            if label != other:
                negatives[a].append(j)
            elif ref_labels is not None or a != j:
                positives[a].append(j)
    return Chosen(positives, negatives, _products(positives, negatives))


def listed(anchors: int, tuples: Sequence[Any]) -> Chosen:
    """What index tuples list: three lists are triplets, four are positive and negative pairs."""
    lists = [[int(i) for i in column] for column in tuples]
    positives: list[list[int]] = [[] for _ in range(anchors)]
    negatives: list[list[int]] = [[] for _ in range(anchors)]
    a1, p, a2, n = (lists[0], lists[1], lists[0], lists[2]) if len(lists) == 3 else lists
    for a, j in zip(a1, p, strict=True):
        positives[a].append(j)
    for a, j in zip(a2, n, strict=True):
        negatives[a].append(j)
    triplets = list(zip(a1, p, n, strict=True)) if len(lists) == 3 else _products(positives, negatives)
    return Chosen(positives, negatives, triplets)


def occurrence_weights(anchors: int, tuples: Sequence[Any] | None) -> list[float]:
    """How often each row occurs in tuples, over the most frequent one's count; all 1 without tuples."""
    if tuples is None:
        return [1.0] * anchors
    indices = [int(i) for column in tuples for i in column]
    counts = [indices.count(a) for a in range(anchors)]
    return [count / max(*counts, 1) for count in counts]


def _products(positives: list[list[int]], negatives: list[list[int]]) -> list[tuple[int, int, int]]:
    return [(a, p, n) for a in range(len(positives)) for p in positives[a] for n in negatives[a]]
