"""What torch does not tell may be left unknown: the functions of tensors give the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricreg.functional import torch_internals
from metricreg.functional.logsumexp import logsumexp, masked_exp, weighted_logsumexp
from metricreg.functional.masked import Mask, at_most_as_float, greater_as_float, masked_sum_and_count
from metricreg.functional.products import inner_products
from metricreg.functional.safe import normalize_rows, safe_pow, safe_sqrt
from metricreg.functional.torch_internals import has_hooks, transforms_active

COUNTED = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
OFF_DIAGONAL = Mask.all_but(torch.arange(4)[:, None], 4)
ZERO = torch.zeros(4, 1, dtype=torch.float64)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "safe_sqrt": lambda x: safe_sqrt(x.square(), ZERO + 0.1),
    "safe_pow": lambda x: safe_pow(x.square(), 0.5),
    "normalize_rows": normalize_rows,
    "products": lambda x: inner_products(x, x),
    "masked_sum_and_count": lambda x: masked_sum_and_count(x, Mask.of(COUNTED), -1.0, 1.0)[0],
    "masked_sum_and_count of listed": lambda x: masked_sum_and_count(x, OFF_DIAGONAL, low=0.0)[0],
    "at_most": lambda x: at_most_as_float(x, 0.0) * x,
    "greater": lambda x: greater_as_float(x, ZERO) * x,
    "logsumexp": lambda x: logsumexp(x, OFF_DIAGONAL, 2.0, 1.0),
    "weighted_logsumexp": lambda x: weighted_logsumexp(x, COUNTED)[[0, 2, 3]],
    "masked_exp": lambda x: masked_exp(x, OFF_DIAGONAL, 0.5),
}


def results(function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Value, gradient, and second derivative where there is one."""
    x = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[1, 2] = x[0, 0] = 0.0
    x.requires_grad_()
    value = function(x)
    (gradient,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x, allow_unused=True)
    return value, gradient, torch.zeros_like(x) if second is None else second


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_the_same_where_torch_does_not_tell_whether_transforms_are_active(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = results(FUNCTIONS[name])
    monkeypatch.setattr(torch_internals, "_active", None)
    assert transforms_active()
    torch.testing.assert_close(results(FUNCTIONS[name]), told)


def test_transforms_are_active_inside_of_them_only() -> None:
    assert not transforms_active()
    found = []
    torch.func.vmap(lambda x: found.append(transforms_active()) or x)(torch.zeros(2))
    assert found == [True]


def test_what_does_not_tell_its_hooks_may_have_some() -> None:
    x = torch.zeros(1, requires_grad=True)
    assert not has_hooks(x)
    x.register_hook(lambda gradient: gradient)
    assert has_hooks(x)
    assert has_hooks(object())  # type: ignore[arg-type]
