"""The regularizers, row by row."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.distances import norm, raised, unit
from tests.reference.reducers import average, total


def lp(w: Tensor, p: float = 2.0, power: float = 1.0) -> Tensor:
    """Mean of |w_c|_p to a power."""
    return average([raised(norm(row, p), power) for row in w])


def zero_mean(w: Tensor) -> Tensor:
    """Mean of |Σ_d w_cd|."""
    return average([total(list(row)).abs() for row in w])


def center_invariant(w: Tensor) -> Tensor:
    """Mean of a quarter of (|w_c|² - mean |w_k|²)²."""
    squares = [total([v * v for v in row]) for row in w]
    return average([(s - average(squares)) ** 2 / 4 for s in squares])


def regular_face(w: Tensor, normalize: bool = True) -> Tensor:
    """Mean of the greatest similarity of each row to another; 0 for a single row."""
    rows = [unit(row) if normalize else row for row in w]
    similarities = [[(a * b).sum() for k, b in enumerate(rows) if k != c] for c, a in enumerate(rows)]
    return average([max(row) for row in similarities if row])


def sparse_centers(w: Tensor, num_classes: int, centers_per_class: int) -> Tensor:
    """Σ of the chords sqrt(2 - 2 cos) between the centers of a class, over C K (K - 1)."""
    chords = []
    for c in range(num_classes):
        own = [unit(row) for row in w[c * centers_per_class : (c + 1) * centers_per_class]]
        for i, a in enumerate(own):
            for b in own[i + 1 :]:
                same = torch.equal(a, b)
                chords.append((a * b).sum() * 0.0 if same else (2 - 2 * (a * b).sum()).sqrt())
    return total(chords) / (num_classes * centers_per_class * (centers_per_class - 1))


def l1(w: Tensor, factor: float = 0.01) -> Tensor:
    """Σ |w_cd|."""
    return factor * total([v.abs() for row in w for v in row])


def l2(w: Tensor, factor: float = 0.01) -> Tensor:
    """Σ w_cd²."""
    return factor * total([v * v for row in w for v in row])


def l1_l2(w: Tensor, first: float = 0.01, second: float = 0.01) -> Tensor:
    """Both."""
    return l1(w, first) + l2(w, second)


def orthogonal(w: Tensor, factor: float = 0.01, mode: str = "rows") -> Tensor:
    """Mean of |cos| over all pairs of rows, or of columns."""
    vectors = [unit(v) for v in (w if mode == "rows" else w.T)]
    cosines = [(a * b).sum().abs() for i, a in enumerate(vectors) for b in vectors[i + 1 :]]
    return factor * average(cosines)


def spherical_embedding(w: Tensor) -> Tensor:
    """Mean of (|w_c| - mean |w_k|)²."""
    norms = [norm(row) for row in w]
    return average([(n - average(norms)) ** 2 for n in norms])
