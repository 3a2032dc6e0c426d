from __future__ import annotations

import math

import pytest
import torch
from metricreg_robust import TrimmedMeanReducer

from metricreg import Term


def naive(values: list[float], fraction: float) -> float:
    kept = sorted(values)[: len(values) - math.floor(fraction * len(values))]
    return sum(kept) / len(kept) if kept else 0.0


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("number", [0, 1, 2, 11])
def test_the_largest_values_are_dropped(fraction: float, number: int) -> None:
    values = torch.rand(number, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    got = TrimmedMeanReducer(fraction)(Term(values))
    torch.testing.assert_close(got.item(), naive(values.tolist(), fraction))


def test_repeated_values_are_dropped_one_by_one() -> None:
    values = torch.tensor([[4.0, 1.0, 100.0], [2.0, 3.0, -5.0]])
    weight = torch.tensor([[3, 2, 0], [1, 0, 0]])
    listed = [4.0, 4.0, 4.0, 1.0, 1.0, 2.0]
    for fraction in (0.0, 0.2, 0.4, 0.9):
        assert TrimmedMeanReducer(fraction)(Term(values, weight)).item() == pytest.approx(naive(listed, fraction))


def test_a_weight_of_one_column_serves_all() -> None:
    values = torch.tensor([[1.0, 5.0], [9.0, 9.0]])
    assert TrimmedMeanReducer(0.5)(Term(values, torch.tensor([[True], [False]]))).item() == 1.0


def test_a_nan_that_counts_is_not_dropped_and_one_that_does_not_is_ignored() -> None:
    values = torch.tensor([1.0, torch.nan, 2.0, 3.0])
    assert TrimmedMeanReducer(0.5)(Term(values)).isnan()
    assert TrimmedMeanReducer(0.0)(Term(values, torch.tensor([True, False, True, True]))).item() == 2.0


def test_an_infinite_outlier_leaves_no_trace() -> None:
    values = torch.tensor([1.0, torch.inf, 2.0, 3.0], requires_grad=True)
    result = TrimmedMeanReducer(0.25)(Term(values))
    assert result.item() == 2.0
    (gradient,) = torch.autograd.grad(result, values)
    torch.testing.assert_close(gradient, torch.tensor([1 / 3, 0.0, 1 / 3, 1 / 3]))


def test_gradients_are_right() -> None:
    values = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.tensor([[1, 0, 2, 1]])
    assert torch.autograd.gradcheck(lambda v: TrimmedMeanReducer(0.3)(Term(v, weight)), values)
