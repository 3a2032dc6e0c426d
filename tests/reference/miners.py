"""The miners, pair by pair and triplet by triplet."""

from __future__ import annotations

import math

from torch import Tensor

from tests.reference.distances import Measure, norm
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
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, margin: float = 0.2, type_of_triplets: str = "all"
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
        found += [(a, p, n)] if sort[type_of_triplets] else []
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


def pair_margin(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, pos_margin: float = 0.2, neg_margin: float = 0.8
) -> tuple[Tuples, Tuples]:
    """Positives farther than one margin, negatives nearer than the other."""
    d = measure.table(x, y)
    anchors = range(len(x))
    return (
        [(a, p) for a in anchors for p in chosen.positives[a] if bool(measure.farther(d[a][p], pos_margin) > 0)],
        [(a, n) for a in anchors for n in chosen.negatives[a] if bool(measure.farther(neg_margin, d[a][n]) > 0)],
    )


def angular(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, angle: float = 20.0) -> Tuples:
    """Triplets of unit vectors with atan(|a - p| / 2|n - (a + p)/2|) above the angle."""
    found: Tuples = []
    for a, p, n in chosen.triplets:
        u, v, w = measure.prepare(x[a]), measure.prepare(y[p]), measure.prepare(y[n])
        side, height = float(norm(u - v)), float(norm(w - (u + v) / 2))
        found += [(a, p, n)] if math.degrees(math.atan2(side, 2 * height)) > angle else []
    return found


Range = tuple[float, float] | None


def batch_easy_hard(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    pos: str = "easy",
    neg: str = "semihard",
    pos_range: Range = None,
    neg_range: Range = None,
) -> tuple[Tuples, Tuples]:
    """One positive and one negative an anchor, or all of them."""
    positives: Tuples = []
    negatives: Tuples = []
    for a, row in enumerate(measure.table(x, y)):
        d = [float(v) for v in row]
        s = [float(measure.similarity(v)) for v in row]
        near = [p for p in chosen.positives[a] if pos_range is None or pos_range[0] <= d[p] <= pos_range[1]]
        far = [n for n in chosen.negatives[a] if neg_range is None or neg_range[0] <= d[n] <= neg_range[1]]
        if pos == "semihard":
            far = _one(far, s, neg)
            near = [p for p in near if far and s[p] > s[far[0]]]
        near = _one(near, s, {"easy": "hard", "hard": "easy", "semihard": "easy", "all": "all"}[pos])
        if neg == "semihard":
            far = [n for n in far if near and s[n] < s[near[0]]]
        far = _one(far, s, "hard" if neg == "semihard" else neg)
        if "all" in (pos, neg) or (near and far):
            positives += [(a, p) for p in near]
            negatives += [(a, n) for n in far]
    return positives, negatives


def _one(columns: list[int], s: list[float], strategy: str) -> list[int]:
    """All, or the most similar (the hard negative), or the least similar."""
    if strategy == "all" or not columns:
        return columns
    return [(max if strategy == "hard" else min)(columns, key=s.__getitem__)]


def hdc(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, share: float = 0.5
) -> tuple[list[tuple[float, int, int]], list[tuple[float, int, int]]]:
    """All pairs, hardest first, up to the share of them that is kept: (distance, anchor, other)."""
    d = measure.table(x, y)
    ranked = []
    for columns, sign in ((chosen.positives, 1.0), (chosen.negatives, -1.0)):
        pairs = [(float(d[a][j]), a, j) for a in range(len(x)) for j in columns[a]]
        pairs.sort(key=lambda pair: -sign * float(measure.farther(pair[0], 0.0)))
        ranked.append(pairs[: math.ceil(share * len(pairs))])
    return ranked[0], ranked[1]


def distance_weighted(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4
) -> list[dict[int, float]]:
    """Of each anchor the probability with which a negative is drawn; empty where there is none to draw."""
    size = x.shape[1]

    def rarity(d: float) -> float:
        return 1 / (d ** (size - 2) * (1 - d * d / 4) ** ((size - 3) / 2))

    found = []
    for a, row in enumerate(measure.table(x, y)):
        d = {n: float(row[n]) for n in chosen.negatives[a] if float(row[n]) < nonzero_loss_cutoff}
        weights = {n: min(rarity(cutoff), rarity(max(v, cutoff))) for n, v in d.items()}
        found.append({n: weight / sum(weights.values()) for n, weight in weights.items()})
    return found


def uniform_histogram(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, num_bins: int = 100
) -> tuple[dict[int, Tuples], dict[int, Tuples]]:
    """The positive pairs and the negative pairs of each bin that is not empty."""
    d = measure.table(x, y)
    found = []
    for columns in (chosen.positives, chosen.negatives):
        pairs = {(a, j): float(d[a][j]) for a in range(len(x)) for j in columns[a]}
        low, high = min(pairs.values(), default=0.0), max(pairs.values(), default=0.0)
        bins: dict[int, Tuples] = {}
        for pair, value in pairs.items():
            place = num_bins - 1 if high == low else min(int((value - low) / (high - low) * num_bins), num_bins - 1)
            bins.setdefault(place, []).append(pair)
        found.append(bins)
    return found[0], found[1]
