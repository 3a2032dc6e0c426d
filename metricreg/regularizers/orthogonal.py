"""Orthogonality penalty."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer
from metricreg.functional.safe import normalize_rows

TILE_VALUES = 2**21


class OrthogonalRegularizer(Regularizer):
    r"""Pushes rows, or columns, to be orthogonal to each other, as in Keras.

    $$r(w) = \text{factor} \cdot \frac{1}{n (n - 1)} \sum_{i \ne j}
    \left| \frac{\langle w_i, w_j \rangle}{\lVert w_i \rVert \lVert w_j \rVert} \right|$$

    The products are made tile by tile, in O(n · tile) memory, and again in the backward pass. A single row, or column,
    gives 0. Opposite vectors are penalised as much as equal ones.

    Args:
        factor: at least 0.
        mode: `rows` or `columns`: which vectors of the matrix `[N, D]` are compared, n = N or n = D of them.
    """

    def __init__(self, factor: Annotated[float, Field(ge=0)] = 0.01, mode: Literal["rows", "columns"] = "rows") -> None:
        super().__init__()
        self.factor = factor
        self.mode = mode

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The weighted mean over pairs, a scalar."""
        units = normalize_rows(x if self.mode == "rows" else x.mT)
        count = len(units)
        size = max(1, TILE_VALUES // max(count, 1))
        total = x.sum() * 0.0
        for i in range(0, count, size):
            part = partial(_products, i=i, j=min(i + size, count))
            total = total + (part(units) if count <= size else checkpoint(part, units, use_reentrant=False))
        mean = self.factor * total / max(count * (count - 1), 1)
        return {"loss": Scalar((mean,), lambda value: value)}

    def effective_arguments(self) -> dict[str, Any]:
        """None: a mean over pairs takes no reducer."""
        return {}


def _products(units: Tensor, i: int, j: int) -> Tensor:
    """The sum of the absolute products of rows i to j with all others."""
    own = torch.arange(i, j, device=units.device)[:, None]
    return (units[i:j] @ units.mT).scatter(1, own, 0.0).abs().sum()
