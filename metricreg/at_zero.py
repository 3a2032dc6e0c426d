"""Functions with a finite gradient at zero, where embeddings coincide, vanish, or cost nothing any more."""

from __future__ import annotations

import torch
from torch import Tensor

SHORTEST = 1e-12
"""Norm under which a row has no direction."""


def root(squares: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where the true one is infinite."""
    zero = squares == 0.0
    return squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def raised(values: Tensor, power: float) -> Tensor:
    """Values to a power, with gradient 0 at 0 for powers under 1, where the true one is infinite."""
    if power == 1.0:
        return values
    if not 0.0 < power < 1.0:
        return values**power
    zero = values == 0.0
    return (values.masked_fill(zero, 1.0) ** power).masked_fill(zero, 0.0)


def unit_rows(x: Tensor, p: float = 2.0) -> Tensor:
    """Rows of unit Lp norm; a row without length stays as it is, and passes its gradient on as it is."""
    norms = torch.linalg.vector_norm(x, p, dim=-1, keepdim=True)
    lengths: Tensor = norms.masked_fill(norms < SHORTEST, 1.0)
    return x / lengths
