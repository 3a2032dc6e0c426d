"""Signal-to-noise ratio contrastive loss, pair by pair (Yuan et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def snr_contrastive(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, pos_margin: float = 0.0, neg_margin: float = 1.0
) -> dict[str, Values]:
    """[d(a, p) - m⁺]₊ of each positive pair, [m⁻ - d(a, n)]₊ of each negative pair."""
    near = [(a, measure.of(x[a], y[p])) for a in range(len(x)) for p in chosen.positives[a]]
    far = [(a, measure.of(x[a], y[n])) for a in range(len(x)) for n in chosen.negatives[a]]
    return {
        "pos_loss": Values([(a, (d - pos_margin).relu()) for a, d in near]),
        "neg_loss": Values([(a, (neg_margin - d).relu()) for a, d in far]),
    }
