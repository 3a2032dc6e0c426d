"""Which samples belong together, pair by pair, from sets of labels as Python sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Sets = Sequence[set[int]]


def sets_of(labels: Sequence[Sequence[int]]) -> list[set[int]]:
    """Rows of zeros and ones as sets."""
    return [{label for label, has in enumerate(row) if has} for row in labels]


def jaccard(a: set[int], b: set[int]) -> float:
    """Labels in common over labels in either; 1 of two empty sets."""
    return len(a & b) / len(a | b) if a | b else 1.0


def pairs(
    belongs: Callable[[set[int], set[int]], bool], labels: Sets, ref_labels: Sets | None = None
) -> tuple[list[int], list[int], list[int], list[int]]:
    """All positive and negative pairs as four lists of indices; no row is paired with itself."""
    found: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
    for a, label in enumerate(labels):
        for j, other in enumerate(labels if ref_labels is None else ref_labels):
            if ref_labels is not None or a != j:
                first = 0 if belongs(label, other) else 2
                found[first].append(a)
                found[first + 1].append(j)
    return found
