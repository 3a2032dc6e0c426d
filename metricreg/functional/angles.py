"""Cosines of angles that are added to or multiplied, with gradients that are finite at 0 and 180 degrees."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from metricreg.functional.safe import safe_sqrt
from metricreg.functional.torch_internals import needs_plain_operations

NEAR = 1.0 / 3.0
"""Squared sines under the rounding error to this power have too few digits if they are made of cosines."""

UnitRows = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of entries of a matrix of cosines, by row and column, the two unit rows `[T, D]` that each is of."""


def sines(cosine: Tensor, rows: UnitRows | None = None, among: Tensor | None = None) -> Tensor:
    """sin(theta) of cosines cos(theta), `[A, K]`, with gradient 0 where it is 0.

    A cosine says little of an angle near 0 or 180 degrees. There the sine is made of the chord between the two rows, if
    they are known.

    Args:
        cosine: `[A, K]`.
        rows: gives the unit rows `[T, D]` whose cosine some entries are, and those that it is with.
        among: which entries count, `[A, K]`, others may have any sine; all if None.
    """
    squares, eps = 1.0 - cosine.square(), torch.finfo(cosine.dtype).eps
    near = squares.detach() <= (eps if rows is None else eps**NEAR)
    sine = squares.masked_fill(near, 1.0).sqrt()
    if rows is None:
        return sine.masked_fill(near, 0.0)
    is_waited_for = cosine.device.type != "cpu" and cosine.shape[1] == 1  # to ask takes longer than to make all
    if needs_plain_operations(cosine) or is_waited_for:
        i, j = (torch.arange(size, device=cosine.device) for size in cosine.shape)
        every = i.repeat_interleave(len(j)), j.repeat(len(i))
        return torch.where(near, _by_chord(cosine.flatten(), *rows(*every)).view_as(cosine), sine)
    near = near if among is None else near & (among != 0)
    if not near.any():
        return sine
    some = near.nonzero(as_tuple=True)
    return sine.index_put(some, _by_chord(cosine[some], *rows(*some)))


def _by_chord(cosine: Tensor, x: Tensor, y: Tensor) -> Tensor:
    chord = x - torch.where(cosine.detach() < 0.0, -1.0, 1.0)[:, None] * y  # to the row opposite, if that is nearer
    squares = torch.linalg.vecdot(chord, chord)
    return safe_sqrt(squares * (1.0 - squares / 4.0))


def cos_of_sum(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle) of cos(theta) and sin(theta)."""
    return cosine * angle.cos() - sine * angle.sin()


def cos_with_margin(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    """cos(theta + angle), for angles of 0 to pi; past 180 degrees what falls on: cos(theta) - angle sin(angle)."""
    inside = cosine >= (math.pi - angle).cos()
    return torch.where(inside, cos_of_sum(cosine, sine, angle), cosine - angle * angle.sin())


def cos_of_multiple(cosine: Tensor, times: int) -> Tensor:
    """(-1)^k cos(times theta) - 2 k, with k = floor(times theta / pi): cos(times theta), made to fall all the way."""
    with torch.no_grad():
        k = (cosine.clamp(-1.0, 1.0).acos() * (times / math.pi)).floor().clamp(max=times - 1.0)
    before, now = torch.ones_like(cosine), cosine
    for _ in range(times - 1):  # Chebyshev's polynomials, which have a slope at 0 and 180 degrees
        before, now = now, 2.0 * cosine * now - before
    return (1.0 - 2.0 * k.remainder(2.0)) * now - 2.0 * k
