"""Euclidean distances from one product of matrices, with all digits where rows are near to each other, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metricreg.functional.products import inner_products
from metricreg.functional.safe import over_twice, safe_sqrt, where_positive
from metricreg.functional.torch_internals import needs_plain_operations

NEAR = 1.0 / 3.0
"""Squared distances under the squared norms times the rounding error to this power have lost digits to cancellation."""
NEARER = 2.0 / 3.0
"""The same of the slopes of a product, which are those of single distances."""
DIFFERENCES = 2**20
"""Values that differences of rows may always have; more, as long as they are no more than the distances."""
NOISE = 16.0
"""Under so many they are nothing but rounding."""


def euclidean(
    x: Tensor,
    y: Tensor,
    linear: Callable[[Tensor], Tensor] | None = None,
    divisor: Tensor | None = None,
    root: bool = True,
) -> Tensor:
    """Euclidean distances, `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`.

    Args:
        x: rows.
        y: rows.
        linear: what differences are mapped by before their length is taken, `[..., D]` to `[..., E]`; if any.
        divisor: `[..., X, 1]`, greater than 0, by which squared distances are divided; 1 if None.
        root: whether they are the distances, or else their squares.
    """
    if not y.shape[-2]:
        return x @ y.mT
    if x.ndim > 2 and x.shape[-2] == 1:  # a few for each, which is as quick
        differences = x - y if linear is None else linear(x - y)
        return lengths(differences, None if divisor is None else divisor[..., 0], root)[..., None, :]
    rows = EuclideanRows(lambda: (x, y), lambda j: (x, y[j]), row_in_the_middle(y), linear, divisor, root)
    a = rows.centered(x)
    if x is y and x.ndim == 2 and divisor is None:
        own = torch.arange(len(x), device=x.device)
        return rows.distances(*squares_of_own_rows(a), own)
    return rows.distances(*squares_of_rows(augmented(a), augmented(rows.centered(y)), divisor))


def lengths(x: Tensor, divisor: Tensor | None = None, root: bool = True) -> Tensor:
    """Lengths of rows `[..., D]`, or their squares over a divisor `[...]`; with gradient 0 of length 0.

    Where squares may overflow or vanish, they are made in float64: on a CPU where one does, on other devices, which
    would have to be waited for, all.
    """
    if x.dtype == wide_type(x) or needs_plain_operations(x) or not x.numel():
        return _lengths(x, divisor, root)
    if x.device.type == "cpu":
        found, limits = _lengths(x, divisor, root), torch.finfo(x.dtype)
        least, (low, high) = limits.tiny / limits.eps, map(float, found.detach().aminmax())
        if (math.sqrt(least) if root else least) < low and high < math.inf:
            return found
    return _lengths(x.to(wide_type(x)), divisor, root).to(x.dtype)


def _lengths(x: Tensor, divisor: Tensor | None, root: bool) -> Tensor:
    squares = torch.linalg.vecdot(x, x)
    squares = squares if divisor is None else squares / divisor
    return safe_sqrt(squares) if root else squares


def wide_type(x: Tensor) -> torch.dtype:
    """Float64, where a device has it."""
    return x.dtype if x.device.type == "mps" else torch.float64


def augmented(x: Tensor) -> Tensor:
    """Rows x as (x, 1, |x|²): with these, squared distances are products, `[..., X, D + 2]`."""
    squares = x.square().sum(-1, keepdim=True)
    return torch.cat([x, torch.ones_like(squares), squares], -1)


def squares_of_rows(x: Tensor, y: Tensor, divisor: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """|x - y|² of augmented rows from one matrix product, `[..., X, Y]`; |x|², `[..., X, 1]`; and |y|², `[..., Y]`.

    Args:
        x: rows.
        y: rows.
        divisor: `[..., X, 1]`, greater than 0, by which the first two are divided; 1 if None.
    """
    rows, ones, squares = x[..., :-2], x[..., -2:-1], x[..., -1:]
    left, sizes = torch.cat([rows * -2.0, squares, ones], -1), squares.detach()
    if divisor is not None:
        size = divisor.detach()  # first, so that no gradient is divided by its square, which may be too large a number
        left, sizes = left / size / (divisor / size), sizes / size
    return left @ y.mT, sizes, y[..., -1].detach()


def squares_of_own_rows(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of rows `[N, D]` with each other, whose gradient is one product instead of two; norms `[N, 1]` twice."""
    squares = torch.linalg.vecdot(x, x)[:, None]
    sizes = squares.detach()
    return (squares + squares.mT).add(inner_products(x, x), alpha=-2.0), sizes, sizes


def row_in_the_middle(rows: Tensor) -> Tensor:
    """A row that most are near to, whatever some are: the median of each feature, of at most 15 of the rows."""
    number = rows.shape[-2]
    step = next(step for step in range(max(1, number // 8), 0, -1) if math.gcd(step, number) == 1)  # of all classes
    return rows.detach()[..., ::step, :].nanmedian(-2, keepdim=True).values


@dataclass(eq=False)
class EuclideanRows:
    """Two sets of rows whose distances are made by a product, and made anew where that leaves too few digits.

    Args:
        every: gives all rows: `[..., X, D]` and `[..., Y, D]`.
        at: gives the rows of x, `[X, D]`, and those of y at some places.
        middle: what is first taken from all rows before a product: distances do not change, and cancellation does.
        linear: as of `euclidean`.
        divisor: as of `euclidean`.
        root: as of `euclidean`.
    """

    every: Callable[[], tuple[Tensor, Tensor]]
    at: Callable[[Tensor], tuple[Tensor, Tensor]]
    middle: Tensor
    linear: Callable[[Tensor], Tensor] | None = None
    divisor: Tensor | None = None
    root: bool = True

    def mapped(self, x: Tensor) -> Tensor:
        """After the linear map."""
        return x if self.linear is None else self.linear(x)

    def centered(self, x: Tensor) -> Tensor:
        """Rows as they go into a product."""
        return self.mapped(x - self.middle)

    def distances(self, squares: Tensor, sizes: Tensor, others: Tensor, own: Tensor | None = None) -> Tensor:
        """Distances, of squared ones from a product: those that cancellation left too few digits of are made anew.

        If they are few, by the differences of their rows; else all in float64, with the slopes of the product, as long
        as those have digits enough. All are, if the product overflows.

        Args:
            squares: `[..., X, Y]`.
            sizes: by what a square is to be judged, `[..., X, 1]`: the squared norms that it was made of.
            others: those of y, `[..., Y]`.
            own: `[X]`, the column of the row itself, whose distance is 0, or -1; None if there is none.
        """
        if squares.ndim > 2 or needs_plain_operations(squares):
            return self._by_wide_product()
        dtype, values = squares.dtype, squares.detach()
        far, near = _near(values, _bounds(sizes, others), own)
        if near is not None and not self._are_few(near, squares):
            with torch.no_grad():
                values, noise = self._in_float64()
            few_digits = (noise < values) & (values < sizes * torch.finfo(dtype).eps ** NEARER)
            squares = self._in_float64()[0] if bool(few_digits.any()) else squares
            far, near = _near(values, noise, own)
            near = near if near is None or self._are_few(near, squares) else None
        found = far.mul_(values)
        found = (found.sqrt_() if self.root else found).to(dtype)
        if near is None:
            return _resolved(squares, found, None, None, self.root)
        if own is not None:  # which is not 0 times infinity
            itself = (own >= 0).nonzero()[:, 0]
            found[itself, own[itself]] = 0.0
        x, y = self.at(near[1])
        differences = self.mapped(x[near[0]] - y)
        exact = lengths(differences, None if self.divisor is None else self.divisor[near[0], 0], self.root)
        return _resolved(squares, found, exact, near, self.root)

    def _are_few(self, near: tuple[Tensor, Tensor], squares: Tensor) -> bool:
        return len(near[0]) * self.middle.shape[-1] <= max(squares.numel(), DIFFERENCES)

    def _by_wide_product(self) -> Tensor:
        squares, least = self._in_float64()
        if self.root:
            return safe_sqrt(squares, least).to(self.middle.dtype)
        low = squares <= least  # of value 0, whose second derivative is there all the same
        return torch.where(low, squares - squares.detach(), squares).to(self.middle.dtype)

    def _in_float64(self) -> tuple[Tensor, Tensor]:
        """Squares from a product in float64, and up to where those are nothing but rounding, `[..., X, 1]`."""
        x, y = self.every()
        wide = wide_type(x)
        a, b = self.centered(x.to(wide)), self.centered(y.to(wide))
        of_a, of_b = a.square().sum(-1, keepdim=True), b.square().sum(-1, keepdim=True)
        squares = (of_a + of_b.mT).add_(a @ b.mT, alpha=-2.0)
        least = of_a.detach() * (NOISE * torch.finfo(wide).eps)
        return (squares, least) if self.divisor is None else (squares / self.divisor, least / self.divisor.detach())


def _bounds(sizes: Tensor, others: Tensor) -> Tensor:
    """Up to where squares of a product have too few digits, `[..., X, 1]`; NaN, which none is above, if some overflow.

    Args:
        sizes: the squared norms of x.
        others: those of y; the same tensor if they are the same.
    """
    limits = torch.finfo(sizes.dtype)
    overflows = 4.0 * (sizes.sum() if others is sizes else sizes.sum() + others.sum()) > limits.max
    vanishing = limits.tiny / limits.eps  # near there squares lose digits, too
    bounds: Tensor = sizes * limits.eps**NEAR
    return bounds.add_(vanishing).masked_fill_(overflows, math.nan)


@torch.no_grad()
def _near(squares: Tensor, least: Tensor, own: Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Squares above a bound as 1, else 0, in their type; and rows and columns of the others but the own, if any."""
    far = torch.gt(squares, least, out=torch.empty_like(squares))
    known = far.sum(1).long().sum()
    if int(known if own is None else known + (own >= 0).sum()) == far.numel():
        return far, None
    rows, columns = (far == 0.0).nonzero(as_tuple=True)
    if own is not None:
        different = columns != own[rows]
        rows, columns = rows[different], columns[different]
    return far, (rows, columns)


def _resolved(
    squares: Tensor, found: Tensor, exact: Tensor | None, near: tuple[Tensor, Tensor] | None, root: bool
) -> Tensor:
    value: Tensor = _Resolved.apply(squares, found, exact, near, root)  # type: ignore[no-untyped-call]
    return value


class _Resolved(torch.autograd.Function):
    """What was found, roots or squares, with the slopes of those; and what is given for what is near.

    What is 0 has gradient 0.
    """

    @staticmethod
    def forward(
        ctx: Any,
        squares: Tensor,
        found: Tensor,
        exact: Tensor | None,
        near: tuple[Tensor, Tensor] | None,
        root: bool,
    ) -> Tensor:
        if near is not None and exact is not None:
            found[near] = exact
        ctx.mark_dirty(found)
        ctx.near, ctx.root = near, root
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (found,) = ctx.saved_tensors
        slope = over_twice(gradient, found) if ctx.root else where_positive(gradient, found)
        if ctx.near is None:
            return slope, None, None, None, None
        return slope.index_put(ctx.near, slope.new_zeros(())), None, gradient[ctx.near], None, None
