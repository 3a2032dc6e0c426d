"""Lp distance."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components import Distance, symmetric
from metricreg.components.marks import follows_matrix
from metricreg.functional.masked import greater_as_float
from metricreg.functional.products import inner_products
from metricreg.functional.safe import normalize_rows, safe_pow, safe_sqrt

RESOLUTION = 8.0
"""Squared distances below this many rounding errors of the squared norms are noise of the Gram matrix."""


class LpDistance(Distance):
    r"""Lp distance between (normalised) embeddings.

    $$d(x, y) = \lVert x - y \rVert_p^{\text{power}}$$

    With p = 2 it comes from the Gram matrix of rows less their median: distances below the resolution of that (about
    1e-3, in float32, of how far rows are from it) are 0, with gradient 0. Other p have no second derivative in torch.

    Args:
        p: the order of the norm, greater than 0; 1 is city block, 2 Euclidean. At most 16: of higher orders the powers
            of small differences vanish in float32.
        power: exponent of the distance, greater than 0; 2 with p = 2 gives squared Euclidean distances.
        normalize: scale each embedding to unit Lp norm first.
    """

    def __init__(
        self,
        p: Annotated[float, Field(gt=0, le=16)] = 2.0,
        power: Annotated[float, Field(gt=0)] = 1.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(power)
        self.p = p
        self.normalize = normalize

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`; a zero row stays zero."""
        return normalize_rows(x, self.p) if self.normalize else x

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Lp distances `[X, Y]`."""
        return torch.cdist(x, y, p=self.p) if self.p != 2.0 else euclidean(x, y)

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`."""
        if self.p != 2.0 or type(self).matrix is not LpDistance.matrix or self._has_own_forward:
            return super().between(batch)
        return euclidean_between(batch, self, self.power)

    def value_range(self) -> tuple[float, float] | None:
        """0 to 2 to the power, if `normalize`."""
        is_own = (
            type(self).matrix is LpDistance.matrix and type(self).prepare is LpDistance.prepare and self._follows_matrix
        )
        return (0.0, 2.0**self.power) if self.normalize and self.p >= 1.0 and is_own else None


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances, `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`."""
    if x.ndim > 2 and x.shape[-2] == 1:  # a few rows for each: by their differences, which is as quick, and exact
        return safe_sqrt((x - y).square().sum(-1))[..., None, :]
    if not y.shape[-2]:
        return x @ y.mT
    middle = _middle(y)
    if x is y and x.ndim == 2:
        return safe_sqrt(*_own_squares(x - middle))
    return safe_sqrt(*squared_euclidean(augmented(x - middle), augmented(y - middle)))


def euclidean_between(batch: Batch, distance: Distance, power: float) -> Tensor:
    """Euclidean distances to a power of what a distance prepares, of the anchors of a batch to its references."""
    if not len(batch.references):
        return batch.anchors @ batch.references.mT
    rows = distance, distance.prepare
    middle = batch.of_references((distance, "middle"), _middle, rows)
    if batch.is_self_comparison:
        x, _ = batch.prepared((distance, "centered"), lambda x: x - middle, rows)
        squares, least = _own_squares(x)
    else:
        squares, least = squared_euclidean(
            *batch.prepared((distance, "augmented"), lambda x: augmented(x - middle), rows)
        )
    if power == 2.0:
        return squares * greater_as_float(squares.detach(), least)
    return safe_pow(safe_sqrt(squares, least), power)


def augmented(x: Tensor) -> Tensor:
    """Rows x as (x, 1, |x|²): with these, squared distances are products, `[..., X, D + 2]`."""
    squares = x.square().sum(-1, keepdim=True)
    return torch.cat([x, torch.ones_like(squares), squares], -1)


def squared_euclidean(x: Tensor, y: Tensor, divisor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """|x - y|² of augmented rows from one matrix product, `[..., X, Y]`; and up to where it may be rounding, `[X, 1]`.

    Args:
        x: rows; distances do not change, and cancellation does, if the same row is first taken from all.
        y: rows.
        divisor: `[..., X, 1]`, greater than 0, by which the squares of each row of x are divided; 1 if None.
    """
    rows, ones, squares = x[..., :-2], x[..., -2:-1], x[..., -1:]
    left = torch.cat([rows * -2.0, squares, ones], -1)
    # where two rows are that near, their norms are equal to within the resolution: those of x stand for both
    least = squares.detach() * (2.0 * RESOLUTION * torch.finfo(x.dtype).eps)
    if divisor is not None:
        size = divisor.detach()  # first, so that no gradient is divided by its square, which may be too large a number
        left, least = left / size / (divisor / size), least / size
    return left @ y.mT, least


def _own_squares(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same of rows `[N, D]` with each other, whose gradient is one product instead of two."""
    squares = torch.linalg.vecdot(x, x)[:, None]
    found = (squares + squares.mT).add(inner_products(x, x), alpha=-2.0)
    return found, squares.detach() * (2.0 * RESOLUTION * torch.finfo(x.dtype).eps)


def _middle(rows: Tensor) -> Tensor:
    """A row that most are near to, whatever some are: the median of each feature, of at most 15 of the rows."""
    some = rows.detach()[..., :: max(1, rows.shape[-2] // 8), :]
    return some.nanmedian(-2, keepdim=True).values
