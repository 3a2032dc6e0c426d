"""What is special about ContrastiveLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch
from metricreg.batch.terms import TermError
from metricreg.distances import LpDistance
from metricreg.losses import ContrastiveLoss
from tests.oracle import PLANS, assert_close, rows, value_and_gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_distance_at_the_margin_costs_nothing_whatever_its_rounding(dtype: torch.dtype) -> None:
    x = rows(12, dtype=dtype).detach()
    x[3] = 0.0  # whose distance from the others is their norm, 1 up to rounding
    x.requires_grad_()
    terms = ContrastiveLoss().all_terms(Batch.of(x, torch.arange(12)))
    assert (terms["neg_loss"].values[3, [0, 1, 2, 4, 11]] == 0).all()
    want = value_and_gradients(ContrastiveLoss()(x, list(range(12)), execution=PLANS["dense"]), [x])
    for name, plan in PLANS.items():
        got = value_and_gradients(ContrastiveLoss()(x, list(range(12)), execution=plan), [x])
        assert_close(got, want, 1e-5 if dtype is torch.float32 else 1e-12, name)


@pytest.mark.parametrize("made", [lambda d: d[:, :3], lambda d: d[:5], lambda d: 3.0])
def test_a_distance_of_another_shape_is_named_as_one(made: Any) -> None:
    class Odd(LpDistance):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
            return made(super().forward(x, y))

    with pytest.raises(TermError, match="pos_loss"):
        ContrastiveLoss(distance=Odd())(rows(10), torch.arange(10) // 2)
