from __future__ import annotations

import torch
from metricreg_robust import ClippedMeanReducer

from metricreg import Term


def test_values_above_the_cap_count_as_the_cap() -> None:
    values = torch.tensor([[0.25, 3.0], [0.5, 7.0]], requires_grad=True)
    result = ClippedMeanReducer(cap=1.0)(Term(values))
    assert result.item() == (0.25 + 0.5 + 1.0 + 1.0) / 4
    (gradient,) = torch.autograd.grad(result, values)
    assert gradient.tolist() == [[0.25, 0.0], [0.25, 0.0]]


def test_what_has_no_weight_does_not_count_and_repeats_count_as_often() -> None:
    values = torch.tensor([[0.25, torch.inf, 9.0]])
    assert ClippedMeanReducer(cap=1.0)(Term(values, torch.tensor([[2, 0, 1]]))).item() == 0.5
