"""What is special about SupConLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg.losses import SupConLoss
from tests.oracle import assert_close, value_and_gradients


@pytest.mark.parametrize("temperature", [0.05, 0.02, 0.01])
@pytest.mark.parametrize("each", [2, 5])
def test_a_positive_that_is_nearest_by_far_costs_what_it_costs(temperature: float, each: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) // each
    x = torch.randn(8 if each == 5 else 20, 32, generator=generator)[labels]
    x = (x + 0.15 * torch.randn(40, 32, generator=generator)).requires_grad_()
    exact = x.detach().double().requires_grad_()
    loss = SupConLoss(temperature=temperature)
    got, want = value_and_gradients(loss(x, labels), [x]), value_and_gradients(loss(exact, labels), [exact])
    assert_close(got, want, 2e-4)
