"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from metricreg.functional.strips import Rowwise, Which

LINEAR = 40.0
"""From here on log(1 + exp(x)) is x."""
PER_E = 1.0 / math.log(2.0)
"""2 to the power of so many times x is exp(x)."""


def masked_logsumexp(x: Tensor, weight: Tensor, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Log Σⱼ wⱼ exp(scale · xⱼ + shift) of each row of `[A, M]`; -inf where nothing counts. Never overflows.

    Args:
        x: `[A, M]`.
        weight: `[A, M]`, which count (bool), or how often.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    if weight.dtype is not torch.bool:
        x = scale * x + (shift + weight.clamp(min=1).to(x.dtype).log())
        return LogSumExp(weight != 0)(x)
    return LogSumExp(weight, scale, shift)(x)


def which(weight: Tensor) -> Tensor:
    """Which entries of a weight count: itself, if it is bool. For formulas in which a pair counts once."""
    return weight if weight.dtype is torch.bool else weight != 0


class LogSumExp(Rowwise):
    """Log Σⱼ exp(scale · xⱼ + shift) over the entries of each row that count.

    Args:
        weight: bool `[A, M]`, which count; or what knows.
        scale: a factor, the same for all.
        shift: what is added to all.
    """

    keeps: ClassVar[bool] = True

    def __init__(self, weight: Tensor | Which, scale: float = 1.0, shift: float = 0.0) -> None:
        self.which = weight if isinstance(weight, Which) else Which(weight)
        self.scale, self.shift = scale, shift

    def exponents(self, values: Tensor) -> Tensor:
        """What the exponential is taken of, differentiable."""
        return self.scale * values + self.shift

    def write_exponents(self, values: Tensor, out: Tensor, less: float = 0.0) -> None:
        """The same without the shift, less another, written to other memory."""
        if less:
            torch.add(values.new_tensor(-less), values, alpha=self.scale, out=out)
        else:
            torch.mul(values, self.scale, out=out)

    def times_slope_(self, values: Tensor, out: Tensor, factor: Tensor) -> None:
        """Multiply by the slope of the exponents, and by a factor a row `[R, 1]`, which is not kept."""
        self.times_steepness_(values, out)
        out.mul_(factor.mul_(self.scale) if self.scale != 1.0 else factor)

    def times_steepness_(self, values: Tensor, out: Tensor) -> None:
        """Multiply by the slope of the exponents over the scale, where that is not 1."""

    def plain(self, values: Tensor) -> Tensor:
        """In differentiable operations."""
        if not values.shape[1]:
            return values.sum(1) - torch.inf
        weight = self.which.weight
        nothing = ~weight.any(1)  # torch differentiates the sum of no exponentials to NaN
        kept = self.exponents(values).masked_fill(~(weight | nothing[:, None]), -torch.inf)
        return kept.logsumexp(1).masked_fill(nothing, -torch.inf)

    def of(self, values: Tensor, weight: Tensor) -> Tensor:
        """The same of entries that count as often as a weight says."""
        if weight.dtype is torch.bool:
            return self(values)
        return LogSumExp(self.which)(self.exponents(values) + weight.clamp(min=1).to(values.dtype).log())

    def value(self, values: Tensor, rows: slice) -> Tensor:
        """Of some rows."""
        if not values.shape[1]:
            return values.sum(1) - torch.inf
        return self._of(*self._powers(values, rows, self.scratch(values)))

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        """The shares of the sum, and what follows."""
        if not values.shape[1]:
            return
        top, total = self._powers(values, rows, out)
        nothing = top <= torch.finfo(top.dtype).min
        self.times_slope_(values, out, (gradient[:, None] / total).masked_fill_(nothing, 0.0))

    def value_and_derivative(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        """Both of some rows; the shares of the sum of nothing are finite, and mean nothing."""
        if not values.shape[1]:
            return values.sum(1) - torch.inf
        top, total = self._powers(values, rows, out)
        found = self._of(top, total)
        self.times_slope_(values, out, total.reciprocal_())
        return found

    def _of(self, top: Tensor, total: Tensor) -> Tensor:
        found = total.log().add_(top)
        found = found.add_(self.shift) if self.shift else found
        return torch.threshold_(found, torch.finfo(found.dtype).min, -torch.inf)[:, 0]  # the least stands for nothing

    def _powers(self, values: Tensor, rows: slice, out: Tensor) -> tuple[Tensor, Tensor]:
        """Write the exponentials over the largest of each row; that, and their sum, `[R, 1]` each.

        What is nothing beside the largest becomes 0 without being made: an exponential that underflows takes torch a
        hundred times as long. Where nothing counts, the largest is the least number of the type. NaN is something.
        """
        limits = torch.finfo(values.dtype)
        lowest = 0.9 * math.log(limits.tiny)
        self.write_exponents(values, out)
        self.which.fill_(out, rows, limits.min)
        top = out.amax(1, keepdim=True).clamp_(min=limits.min)
        out.sub_(top).clamp_(min=lowest).exp_()
        torch.threshold_(out, 2.0 * math.exp(lowest), 0.0)
        return top, out.sum(1, keepdim=True)


def log_one_plus_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in value and slope to the precision of the type; 0 for -inf."""
    return torch.nn.functional.softplus(x, threshold=LINEAR)


def log_one_plus_exp_sums_(x: Tensor) -> Tensor:
    """Σⱼ log(1 + 2^xⱼ) of each row of `[A, M]`; in place, and without a gradient.

    Not of exp(x): torch's is two orders of magnitude slower where it underflows.
    """
    beyond = None
    if x.device.type != "cpu" or (x.numel() and bool(x.amax() > LINEAR * PER_E)):
        beyond = (x - LINEAR * PER_E).clamp_(min=0.0).sum(1) / PER_E
        x.clamp_(max=LINEAR * PER_E)
    least = torch.finfo(x.dtype).tiny ** 0.5  # squares of less, which log1p takes, are as slow
    total = torch.threshold_(x.exp2_(), least, 0.0).log1p_().sum(1)
    return total if beyond is None else total + beyond
