"""Tuplet margin loss, positive pair by positive pair (Yu and Tao 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def tuplet_margin(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, margin: float = 5.73, scale: float = 64.0
) -> dict[str, Values]:
    """log(1 + Σₙ exp(s (cos θₙ - cos(θₚ - β)))); parallel vectors have the angle 0 or π, without slope."""
    cosine = measure.table(x, y)
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            c = cosine[a][p]
            if bool(1 - c.abs() < 1e-15):
                near = c * math.cos(math.radians(margin))
            else:
                near = torch.cos(torch.acos(c) - math.radians(margin))
            ratios = [(scale * (cosine[a][n] - near)).exp() for n in chosen.negatives[a]]
            values.append((a, total(ratios).log1p() + near * 0.0))
    return {"loss": Values(values)}
