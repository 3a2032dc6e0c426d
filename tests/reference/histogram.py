"""Histogram loss, pair by pair and node by node (Ustinova and Lempitsky 2016)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def histogram(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, n_bins: int = 100) -> dict[str, Values]:
    """Σᵣ h⁻ᵣ Σ_{q ≤ r} h⁺_q, of pairs as a set; a pair of a batch with itself has no order."""
    s, width = measure.table(x, y), 2 / n_bins

    def densities(partners: list[list[int]]) -> list[Tensor]:
        pairs = {(min(a, j), max(a, j)) if x is y else (a, j) for a in range(len(x)) for j in partners[a]}
        parts: list[list[Tensor]] = [[] for _ in range(n_bins + 1)]
        for a, j in sorted(pairs):
            steps = (s[a][j] + 1) / width
            before = min(int(steps), n_bins - 1)  # the node at or before it
            parts[before].append(1 - (steps - before))
            parts[before + 1].append(steps - before)
        return [total(part) / max(len(pairs), 1) for part in parts]

    positive, negative = densities(chosen.positives), densities(chosen.negatives)
    overlap = [negative[r] * total(positive[: r + 1]) for r in range(n_bins + 1)]
    return {"loss": Values([(0, total(overlap))])}
