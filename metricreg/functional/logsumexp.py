"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metricreg.functional.masked import Mask
from metricreg.functional.torch_internals import needs_plain_operations

SOFTPLUS_THRESHOLD = 40.0
"""From here on log(1 + exp(x)) is x."""
LOG2_E = 1.0 / math.log(2.0)
"""2 to the power of so many times x is exp(x)."""


Scale = float | Tensor
"""A factor, the same for all; a tensor without axes if it has a gradient."""


def logsumexp(values: Tensor, mask: Mask | None, scale: Scale = 1.0, shift: float = 0.0) -> Tensor:
    """Log Σⱼ exp(scale · xⱼ + shift) over the entries of each row that count; -inf where none does. Never overflows.

    Args:
        values: x, `[A, M]`.
        mask: which count; all, but for -inf, if None.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    if not values.shape[1]:
        return values.sum(1) - torch.inf
    values, scale = _scaled(values, scale)
    found: Tensor
    if needs_plain_operations(values):
        found = _plain(values, ~values.isneginf() if mask is None else mask.as_bool(), scale)
    else:
        found = _LogSumExp.apply(values, mask, scale)  # type: ignore[no-untyped-call]
    return found + shift if shift else found


def weighted_logsumexp(values: Tensor, weight: Tensor, scale: Scale = 1.0, shift: float = 0.0) -> Tensor:
    """Log Σⱼ wⱼ exp(scale · xⱼ + shift) of each row of `[A, M]`; -inf where nothing counts. Never overflows.

    Args:
        values: x, `[A, M]`.
        weight: w, `[A, M]`, which count (bool), or how often.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    if weight.dtype is torch.bool:
        return logsumexp(values, Mask.of(weight), scale, shift)
    repeated = scale * values + (shift + weight.clamp(min=1).to(values.dtype).log())
    return logsumexp(repeated, Mask.of(weight != 0))


def _scaled(values: Tensor, scale: Scale) -> tuple[Tensor, float]:
    """Values times a factor that has a gradient, and what is left of the factor."""
    return (values * scale, 1.0) if isinstance(scale, Tensor) else (values, scale)


def _plain(values: Tensor, entries: Tensor, scale: float) -> Tensor:
    """In operations that torch differentiates, as often as anyone likes."""
    nothing = ~entries.any(1, keepdim=True)  # torch differentiates the sum of no exponentials to NaN
    kept = (scale * values).masked_fill(~(entries | nothing), -torch.inf)
    return kept.logsumexp(1).masked_fill(nothing.squeeze(1), -torch.inf)


class _LogSumExp(torch.autograd.Function):
    """The value and its derivative in one pass over the exponentials, which is a fifth of what torch takes for both."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Mask | None, scale: float) -> Tensor:
        limits = torch.finfo(values.dtype)
        lowest = 0.98 * math.log2(limits.tiny)  # what underflows takes a processor a hundred times as long
        shares = values * (scale * LOG2_E)
        if mask is not None:
            shares = mask.fill_(shares, limits.min)
        top = shares.amax(1, keepdim=True).clamp_(min=limits.min)
        shares = torch.threshold_(shares.sub_(top).clamp_(min=lowest).exp2_(), 2.0 ** (lowest + 1.0), 0.0)
        total = shares.sum(1, keepdim=True)
        nothing = top <= limits.min
        slopes = shares.mul_((scale / total).masked_fill_(nothing, 0.0))
        ctx.mask, ctx.scale = mask, scale
        ctx.save_for_backward(values, slopes)
        return total.log_().add_(top, alpha=1.0 / LOG2_E).masked_fill_(nothing, -torch.inf)[:, 0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative
            entries = ~values.isneginf()
            entries = entries if ctx.mask is None else entries & ctx.mask.as_bool()
            nothing = ~entries.any(1, keepdim=True)
            kept = (ctx.scale * values).masked_fill(~(entries | nothing), -torch.inf)
            slopes = (ctx.scale * kept.softmax(1)).masked_fill(nothing, 0.0)
        return gradient[:, None] * slopes, None, None


def masked_exp(values: Tensor, mask: Mask, scale: Scale = 1.0, shift: float = 0.0) -> Tensor:
    """exp(scale · x + shift) of the entries of a matrix that count, and 0 of all others; what underflows is slow.

    Args:
        values: x, `[A, M]`.
        mask: which count.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    values, scale = _scaled(values, scale)
    found: Tensor = _MaskedExp.apply(values, mask, scale, shift)  # type: ignore[no-untyped-call]
    return found


class _MaskedExp(torch.autograd.Function):
    """In three passes, and two for the derivative."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Mask, scale: float, shift: float) -> Tensor:
        powers = torch.add(values.new_full((), shift * LOG2_E), values, alpha=scale * LOG2_E).exp2_()
        powers = mask.fill_(powers, 0.0)
        ctx.scale = scale
        ctx.save_for_backward(powers)
        return powers

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (powers,) = ctx.saved_tensors
        return gradient * powers * ctx.scale, None, None, None


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in value and slope to the precision of the type; 0 for -inf."""
    return torch.nn.functional.softplus(x, threshold=SOFTPLUS_THRESHOLD)
