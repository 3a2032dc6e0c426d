"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def masked_logsumexp(x: Tensor, weight: Tensor) -> Tensor:
    """Log Σⱼ wⱼ exp(xⱼ) of each row of `[A, M]`, with w bool or counts; -inf where nothing counts. Never overflows."""
    if weight.dtype is not torch.bool:
        x = x + weight.clamp(min=1).to(x.dtype).log()
        weight = weight != 0
    if not x.shape[1]:
        return x.sum(1) - torch.inf
    if torch.compiler.is_compiling():  # which finds the passes by itself
        return _by_parts(x, weight)
    found: Tensor = _MaskedLogSumExp.apply(x, weight)[0]  # type: ignore[no-untyped-call]
    return found


def _by_parts(x: Tensor, weight: Tensor) -> Tensor:
    nothing = ~weight.any(1)  # torch differentiates the sum of no exponentials to NaN
    return x.masked_fill(~(weight | nothing[:, None]), -torch.inf).logsumexp(1).masked_fill(nothing, -torch.inf)


class _MaskedLogSumExp(torch.autograd.Function):
    """The same in few passes over memory: the exponentials are kept, and are the derivative but for a factor a row."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        powers = x.masked_fill(~weight, -torch.inf)
        top = powers.amax(1, keepdim=True)
        top = top.masked_fill(top.isneginf(), 0.0)
        powers = powers.sub_(top).exp_()
        total = powers.sum(1, keepdim=True)
        return (total.log() + top)[:, 0], powers, total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, powers, total = output
        ctx.mark_non_differentiable(powers, total)
        ctx.save_for_backward(*inputs, powers, total)
        ctx.save_for_forward(powers, total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        x, weight, powers, total = ctx.saved_tensors
        if torch.is_grad_enabled():
            nothing = ~weight.any(1, keepdim=True)
            share = torch.softmax(x.masked_fill(~(weight | nothing), -torch.inf), 1)
            return gradient[:, None] * share.masked_fill(~weight, 0.0), None
        return powers * _shares(gradient[:, None], total), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> tuple[Tensor, None, None]:
        powers, total = ctx.saved_tensors
        return (powers * tangent * _shares(torch.ones_like(total), total)).sum(1), None, None


def _shares(factor: Tensor, total: Tensor) -> Tensor:
    """What a sum of exponentials is to be divided by; 0 where nothing counts."""
    return (factor / total).masked_fill(total == 0.0, 0.0)


def log_one_plus_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in value and slope to the precision of the type; 0 for -inf."""
    return torch.nn.functional.softplus(x, threshold=40)
