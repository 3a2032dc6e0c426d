"""Log-sum-exp over the entries that count, and its one-sided form."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_logsumexp(x: Tensor, weight: Tensor) -> Tensor:
    """Log Σⱼ wⱼ exp(xⱼ) of each row of `[A, M]`, with w bool or counts; -inf where nothing counts. Never overflows."""
    if weight.dtype is not torch.bool:
        x = x + weight.clamp(min=1).to(x.dtype).log()
        weight = weight != 0
    nothing = ~weight.any(1)  # torch differentiates the sum of no exponentials to NaN
    return x.masked_fill(~(weight | nothing[:, None]), -torch.inf).logsumexp(1).masked_fill(nothing, -torch.inf)


def log_one_plus_exp(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact in value and slope to the precision of the type; 0 for -inf."""
    return torch.nn.functional.softplus(x, threshold=40)
