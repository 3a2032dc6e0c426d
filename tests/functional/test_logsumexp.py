"""The masked log-sum-exp: value, first and second derivative, forward mode, and rows in which nothing counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metricreg.functional.logsumexp import weighted_logsumexp
from metricreg.functional.safe import MIN_NORM, normalize_rows, safe_sqrt

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode
WEIGHT = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)


def values(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3.0 * torch.randn(4, 4, dtype=torch.float64, generator=generator)).requires_grad_()


def naive(x: Tensor, weight: Tensor) -> Tensor:
    return (x.exp() * weight).sum(1).log()


@pytest.mark.parametrize("weight", [WEIGHT, WEIGHT.long(), 3 * WEIGHT.int()], ids=["bool", "int64", "counts"])
def test_is_the_logarithm_of_the_sum(weight: Tensor) -> None:
    x = values()
    found, want = weighted_logsumexp(x, weight), naive(x, weight)
    torch.testing.assert_close(found, want)
    assert found[1].item() == -torch.inf
    some = [0, 2, 3]
    (got,) = torch.autograd.grad(found[some].sum(), x)
    (true,) = torch.autograd.grad(naive(x[some], weight[some]).sum(), x)
    torch.testing.assert_close(got, true)


def test_has_every_derivative() -> None:
    def function(x: Tensor) -> Tensor:
        return weighted_logsumexp(x, WEIGHT)[[0, 2, 3]]

    assert torch.autograd.gradcheck(function, values(), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, values())
    (hessian,) = torch.func.vmap(torch.func.hessian(lambda row: function(row).sum()))(values().detach()[None])
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(lambda x: function(x).sum(), values()))


def test_what_does_not_count_has_no_gradient_whatever_it_is() -> None:
    x = torch.tensor([[1.0, torch.nan, 800.0], [torch.inf, 5.0, 5.0]], requires_grad=True)
    weight = torch.tensor([[True, False, True], [False, False, False]])
    found = weighted_logsumexp(x, weight)
    assert found.tolist() == [800.0, -torch.inf]
    (gradient,) = torch.autograd.grad(found[0], x)
    assert gradient.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_nothing_to_sum_is_minus_infinity() -> None:
    x = torch.zeros(2, 0, requires_grad=True)
    found = weighted_logsumexp(x, torch.zeros(2, 0, dtype=torch.bool))
    assert found.tolist() == [-torch.inf, -torch.inf]


def test_a_root_has_every_derivative_and_none_at_zero() -> None:
    x = values().detach().square().requires_grad_()
    assert torch.autograd.gradcheck(safe_sqrt, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(safe_sqrt, x)
    zero = torch.zeros(3, requires_grad=True)
    (first,) = torch.autograd.grad(safe_sqrt(zero).sum(), zero, create_graph=True)
    assert first.tolist() == [0.0] * 3
    (second,) = torch.autograd.grad(first.sum(), zero)
    assert second.tolist() == [0.0] * 3


def test_what_counts_and_is_nothing_makes_nothing() -> None:
    values = torch.tensor([[-torch.inf, -torch.inf], [-1e38, -3e38]])
    for which in (torch.ones(2, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool)):
        assert weighted_logsumexp(values, which, 10.0).tolist() == [-torch.inf, -torch.inf]


@pytest.mark.parametrize("norm", [1e-13, MIN_NORM, 1e-11])
def test_a_row_is_short_in_every_derivative_or_in_none(norm: float) -> None:
    x = torch.tensor([[norm, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    plain, made = (
        torch.autograd.grad((normalize_rows(x) * weights).sum(), x, create_graph=again)[0] for again in (False, True)
    )
    torch.testing.assert_close(made.detach(), plain, rtol=1e-6, atol=0.0)
