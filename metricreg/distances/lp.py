"""Lp distance."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from metricreg.components import Distance
from metricreg.engine.operands import in_sweep, listed_rows, once_a_sweep, product
from metricreg.functional.functions import Function, has_tangent, transformed
from metricreg.functional.safe import Above, root, slope_times, unit_rows

RESOLUTION = 8.0
"""Squared distances below this many rounding errors of the squared norms are noise of the Gram matrix."""


def squared_euclidean(
    x: Tensor,
    y: Tensor,
    center: Tensor | None = None,
    rooted: bool = False,
    index: Tensor | None = None,
    divisor: Tensor | None = None,
) -> Tensor:
    """|x - y|² of all rows from one matrix product: `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`.

    Entries that rounding could have made are exactly 0, with gradient 0.

    Args:
        x: rows.
        y: rows.
        center: a row to take from all first: distances do not change, cancellation does.
        rooted: distances in the place of their squares.
        index: `[X, K]`, which columns are wanted; all if None.
        divisor: `[..., X, 1]`, greater than 0, by which the squares of each row of x are divided; 1 if None.
    """
    if index is None and divisor is None and _at_once(x, y):
        alone = x is y
        x, y = (x, y) if center is None else (x - center, x if alone else y - center)
        found: Tensor = _SquaredDistances.apply(x, None if alone else y, rooted)
        return found
    alone = x is y
    x = x if center is None else x - center
    xx = x.square().sum(-1, keepdim=True)
    ones = torch.ones_like(xx)
    rows = torch.cat([x * -2.0, xx, ones], -1)
    if alone:
        columns = torch.cat([x, ones, xx], -1)
    else:
        columns = once_a_sweep(("columns", center is None), y, lambda y: _columns(y, center))
    picked = None if index is None else listed_rows(columns, index)
    # where two rows are that near, their norms are equal to within the resolution: those of x stand for both
    least = xx.detach() * (2.0 * RESOLUTION * torch.finfo(xx.dtype).eps)
    if divisor is not None:
        size = divisor.detach()  # first, so that no gradient is divided by its square, which may be too large a number
        rows, least = rows / size / (divisor / size), least / size
    kept = Above(least, rooted)
    return product(rows, columns, kept) if picked is None else kept((rows[:, None] @ picked.mT)[:, 0])


def _columns(y: Tensor, center: Tensor | None) -> Tensor:
    """What the product takes of y, `[..., Y, D + 2]`."""
    y = y if center is None else y - center
    yy = y.square().sum(-1, keepdim=True)
    return torch.cat([y, torch.ones_like(yy), yy], -1)


def _middle(rows: Tensor) -> Tensor:
    """A row that most are near to, whatever some are: the median of each feature, of at most 15 of the rows."""
    some = rows.detach()[..., :: max(1, rows.shape[-2] // 8), :]
    return some.nanmedian(-2, keepdim=True).values


def _at_once(x: Tensor, y: Tensor) -> bool:
    """Whether all distances are made by a function of their own, which is quicker where no sweep adds gradients up."""
    if x.ndim != 2 or y.ndim != 2 or in_sweep() or torch.compiler.is_compiling() or transformed():
        return False
    return not (has_tangent(x) or has_tangent(y) or torch.is_autocast_enabled(x.device.type))


class _SquaredDistances(Function):
    """The same in fewer operations, and one product instead of two for the gradient of rows compared with themselves.

    The gradient of row i is 2 Σⱼ (gᵢⱼ + gⱼᵢ) (xᵢ - xⱼ).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, rooted: bool) -> Tensor:
        columns = x if y is None else y
        xx = torch.linalg.vecdot(x, x)[:, None]
        yy = xx if y is None else torch.linalg.vecdot(y, y)[:, None]
        found: Tensor = (xx + yy.mT).addmm_(x, columns.mT, alpha=-2.0)
        Above(xx * (2.0 * RESOLUTION * torch.finfo(xx.dtype).eps), rooted).write(found)
        ctx.rooted = rooted
        ctx.save_for_backward(found, x, y)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found, x, y = ctx.saved_tensors
        slope = slope_times(gradient, found, ctx.rooted)
        if y is None:
            return _pulled(slope + slope.mT, x, x), None, None
        of_x, of_y = ctx.needs_input_grad[:2]
        return _pulled(slope, x, y) if of_x else None, _pulled(slope.mT, y, x) if of_y else None, None


def _pulled(slope: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """2 Σⱼ slopeᵢⱼ (xᵢ - yⱼ)."""
    return torch.addmm(slope.sum(1, keepdim=True) * x, slope, y, beta=2.0, alpha=-2.0)


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

    is_symmetric: ClassVar[bool] = True

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
        return unit_rows(x, self.p) if self.normalize else x

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Lp distances `[X, Y]`."""
        return torch.cdist(x, y, p=self.p) if self.p != 2.0 else self._euclidean(x, y, True)

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each prepared row of x `[N, D]` to the same row of y `[N, D]`, before `power`: `[N]`."""
        return root((x - y).square().sum(-1)) if self.p == 2.0 else super().paired(x, y)

    def matrix_at(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """The entries of `matrix` at the columns `index [X, K]`."""
        return self._euclidean(x, y, True, index) if self.p == 2.0 else super().matrix_at(x, y, index)

    def _euclidean(self, x: Tensor, y: Tensor, rooted: bool, index: Tensor | None = None) -> Tensor:
        center = once_a_sweep("middle", y, _middle, by_row=False) if y.shape[-2] else None
        return squared_euclidean(x, y, center, rooted, index)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Distances between the rows of x `[X, D]` and of y `[Y, D]` (x itself if None): `[X, Y]`."""
        if self.p == 2.0 and self.power == 2.0:
            prepared = self.prepared(x)
            return self._euclidean(prepared, prepared if y is None or y is x else self.prepared(y), False)
        return super().forward(x, y)

    def at(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """Distances of each row of x `[X, D]` to those rows of y `[Y, D]` that `index [X, K]` lists: `[X, K]`."""
        if self.p == 2.0 and self.power == 2.0:
            return self._euclidean(self.prepared(x), self.prepared(y), False, index)
        return super().at(x, y, index)
