"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metricreg.functional.masked import Mask
from metricreg.functional.transforms import once_read, transforms_active

LINEAR = 40.0
"""From here on log(1 + exp(x)) is x."""
PER_E = 1.0 / math.log(2.0)
"""2 to the power of so many times x is exp(x)."""


def logsumexp(values: Tensor, mask: Mask | None, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Log Σⱼ exp(scale · xⱼ + shift) over the entries of each row that count; -inf where none does. Never overflows.

    Args:
        values: x, `[A, M]`.
        mask: which count; all, but for -inf, if None.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    if not values.shape[1]:
        return values.sum(1) - torch.inf
    found: Tensor
    if torch.compiler.is_compiling():
        found = _plain(values, ~values.isneginf() if mask is None else mask.as_bool(), scale)
    else:
        rows, columns = (None, None) if mask is None or mask.left_out is None else mask.left_out
        entries = mask.as_bool() if mask is not None and rows is None else None
        found = _LogSumExp.apply(values, rows, columns, entries, scale)[0]  # type: ignore[no-untyped-call]
    return found + shift if shift else found


def masked_logsumexp(values: Tensor, weight: Tensor, scale: float = 1.0, shift: float = 0.0) -> Tensor:
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


def _plain(values: Tensor, entries: Tensor, scale: float) -> Tensor:
    """In operations that torch differentiates, as often as anyone likes."""
    nothing = ~entries.any(1)  # torch differentiates the sum of no exponentials to NaN
    kept = (scale * values).masked_fill(~(entries | nothing[:, None]), -torch.inf)
    return kept.logsumexp(1).masked_fill(nothing, -torch.inf)


@once_read
class _LogSumExp(torch.autograd.Function):
    """The value and its derivative in one pass over the exponentials, which is a fifth of what torch takes for both."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        values: Tensor, rows: Tensor | None, columns: Tensor | None, entries: Tensor | None, scale: float
    ) -> tuple[Tensor, Tensor]:
        limits = torch.finfo(values.dtype)
        lowest = 0.98 * math.log2(limits.tiny)  # what underflows takes a processor a hundred times as long
        shares = values * (scale * PER_E)
        nothing = values.new_tensor(limits.min)
        if rows is not None:
            shares.index_put_((rows, columns), nothing)
        elif entries is not None:
            shares = torch.where(entries, shares, nothing)
        top = shares.amax(1, keepdim=True).clamp(min=limits.min)
        if transforms_active():  # which know fewer operations in place
            shares = torch.threshold((shares - top).clamp(min=lowest).exp2(), 2.0 ** (lowest + 1.0), 0.0)
        else:
            shares = torch.threshold_(shares.sub_(top).clamp_(min=lowest).exp2_(), 2.0 ** (lowest + 1.0), 0.0)
        total = shares.sum(1, keepdim=True)
        is_nothing = top <= limits.min
        found = (total.log() + top / PER_E).masked_fill(is_nothing, -torch.inf)[:, 0]
        return found, shares.mul_((scale / total).masked_fill(is_nothing, 0.0))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        values, rows, columns, entries, ctx.scale = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(values, rows, columns, entries, output[1])
        ctx.save_for_forward(values, rows, columns, entries, output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return (None,) * 5
        values, rows, columns, entries, slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative
            slopes = _slopes(values, rows, columns, entries, ctx.scale)
        return gradient[:, None] * slopes, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor, None]:
        values, rows, columns, entries, slopes = ctx.saved_tensors
        if transforms_active():
            slopes = _slopes(values, rows, columns, entries, ctx.scale)
        return (slopes * tangent).sum(1), None


def _slopes(
    values: Tensor, rows: Tensor | None, columns: Tensor | None, entries: Tensor | None, scale: float
) -> Tensor:
    """The derivative, in operations that torch differentiates."""
    if rows is not None and columns is not None:
        entries = torch.ones_like(values, dtype=torch.bool).index_put(
            (rows, columns), rows.new_zeros((), dtype=torch.bool)
        )
    entries = ~values.isneginf() if entries is None else entries
    nothing = ~entries.any(1, keepdim=True)
    kept = (scale * values).masked_fill(~(entries | nothing), -torch.inf)
    return (scale * kept.softmax(1)).masked_fill(nothing, 0.0)


def masked_exp(values: Tensor, mask: Mask, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """exp(scale · x + shift) of the entries of a matrix that count, and 0 of all others; what underflows is slow.

    Args:
        values: x, `[A, M]`.
        mask: which count.
        scale: a factor, the same for all.
        shift: what is added to all.
    """
    rows, columns = (None, None) if mask.left_out is None else mask.left_out
    entries = mask.as_bool() if rows is None else None
    found: Tensor = _MaskedExp.apply(values, rows, columns, entries, scale, shift)  # type: ignore[no-untyped-call]
    return found


class _MaskedExp(torch.autograd.Function):
    """In three passes, and two for the derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        rows: Tensor | None,
        columns: Tensor | None,
        entries: Tensor | None,
        scale: float,
        shift: float,
    ) -> Tensor:
        powers = torch.add(values.new_tensor(shift * PER_E), values, alpha=scale * PER_E).exp2_()
        if rows is not None:
            powers.index_put_((rows, columns), values.new_zeros(()))
        elif entries is not None:
            powers.mul_(entries)
        ctx.scale = scale
        ctx.save_for_backward(powers)
        return powers

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (powers,) = ctx.saved_tensors
        return gradient * powers * ctx.scale, None, None, None, None, None


def log_one_plus_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in value and slope to the precision of the type; 0 for -inf."""
    return torch.nn.functional.softplus(x, threshold=LINEAR)
