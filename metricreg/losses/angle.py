"""Angles added to cosines, with gradients that are finite at 0 and 180 degrees."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rotated(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle) of cosines cos(theta); where the sine has no slope to follow, at 0 and 180 degrees, none."""
    room = 1.0 - cosine.square()
    flat = room <= torch.finfo(cosine.dtype).eps
    sine = room.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0)
    return cosine * angle.cos() - sine * angle.sin()


def with_margin(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle), for angles of 0 to pi; past 180 degrees what falls on: cos(theta) - angle sin(angle)."""
    return torch.where(cosine >= (math.pi - angle).cos(), rotated(cosine, angle), cosine - angle * angle.sin())
