"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metricreg.exclusion import Exclusion, exclusion_of

LINEAR = 40.0
"""From here on log(1 + exp(x)) is x."""
PER_E = 1.0 / math.log(2.0)
"""2 to the power of so many times x is exp(x)."""


def masked_logsumexp(x: Tensor, weight: Tensor) -> Tensor:
    """Log Σⱼ wⱼ exp(xⱼ) of each row of `[A, M]`, with w bool or counts; -inf where nothing counts. Never overflows."""
    if weight.dtype is not torch.bool:
        x = x + weight.clamp(min=1).to(x.dtype).log()
        weight = weight != 0
    if not x.shape[1]:
        return x.sum(1) - torch.inf
    if torch.compiler.is_compiling():  # which finds the passes by itself
        return _by_parts(x, weight)
    found: Tensor = _MaskedLogSumExp.apply(x, weight, exclusion_of(weight))[0]  # type: ignore[no-untyped-call]
    return found


def which(weight: Tensor) -> Tensor:
    """Which entries of a weight count: itself, if it is bool. For formulas in which a pair counts once."""
    return weight if weight.dtype is torch.bool else weight != 0


def _by_parts(x: Tensor, weight: Tensor) -> Tensor:
    nothing = ~weight.any(1)  # torch differentiates the sum of no exponentials to NaN
    return x.masked_fill(~(weight | nothing[:, None]), -torch.inf).logsumexp(1).masked_fill(nothing, -torch.inf)


class _MaskedLogSumExp(torch.autograd.Function):
    """The same in few passes over memory: the softmax, one pass, is the derivative, and its largest entry 1 / Σ."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, left_out: Exclusion | None) -> tuple[Tensor, Tensor, Tensor]:
        least = torch.finfo(x.dtype).min
        kept = torch.where(weight, x, least) if left_out is None else left_out.filled(x, least)
        top = kept.amax(1)
        share = torch.softmax(kept, 1)
        something = ~(top <= least)  # NaN is something
        return (top - share.amax(1).log()).masked_fill(~something, -torch.inf), share, something

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Exclusion | None], output: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        _, share, something = output
        ctx.mark_non_differentiable(share, something)
        ctx.save_for_backward(*inputs[:2], share, something)
        ctx.save_for_forward(share, something)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        x, weight, share, something = ctx.saved_tensors
        if torch.is_grad_enabled():
            nothing = ~weight.any(1, keepdim=True)
            share = torch.softmax(x.masked_fill(~(weight | nothing), -torch.inf), 1)
            return gradient[:, None] * share.masked_fill(~weight, 0.0), None, None
        return share * gradient.masked_fill(~something, 0.0)[:, None], None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        share, something = ctx.saved_tensors
        return (share * tangent).sum(1).masked_fill(~something, 0.0), None, None


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
