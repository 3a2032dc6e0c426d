"""Cosines of angles that are added to or multiplied, with gradients that are finite at 0 and 180 degrees."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cos_of_sum(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle) of cosines cos(theta); where the sine has no slope to follow, at 0 and 180 degrees, none."""
    room = 1.0 - cosine.square()
    flat = room <= torch.finfo(cosine.dtype).eps
    sine = room.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)
    return cosine * angle.cos() - sine * angle.sin()


def cos_with_margin(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle), for angles of 0 to pi; past 180 degrees what falls on: cos(theta) - angle sin(angle)."""
    return torch.where(cosine >= (math.pi - angle).cos(), cos_of_sum(cosine, angle), cosine - angle * angle.sin())


def cos_of_multiple(cosine: Tensor, times: int) -> Tensor:
    """(-1)^k cos(times theta) - 2 k, with k = floor(times theta / pi): cos(times theta), made to fall all the way."""
    with torch.no_grad():
        k = (cosine.clamp(-1.0, 1.0).acos() * (times / math.pi)).floor().clamp(max=times - 1.0)
    before, now = torch.ones_like(cosine), cosine
    for _ in range(times - 1):  # Chebyshev's polynomials, which have a slope at 0 and 180 degrees
        before, now = now, 2.0 * cosine * now - before
    return (1.0 - 2.0 * k.remainder(2.0)) * now - 2.0 * k
