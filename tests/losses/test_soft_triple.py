"""What is special about SoftTripleLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SoftTripleLoss
from metricreg.losses.soft_triple import _OfClasses
from tests.oracle import DIM, assert_close, rows, value_and_gradients


def loss_of(**parameters: Any) -> SoftTripleLoss:
    torch.manual_seed(0)
    return SoftTripleLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("gamma", [1e-4, 1e-8, 1e-20])
def test_a_small_gamma_takes_the_nearest_center_and_loses_no_precision(gamma: float) -> None:
    loss, x, labels = loss_of(gamma=gamma).float(), rows(9).float(), torch.arange(9) % 4
    parts = []
    for dtype in (torch.float32, torch.float64):
        given = x.detach().to(dtype).requires_grad_()
        parts.append(value_and_gradients(loss.to(dtype)(given, labels), [given]))
    assert_close([part.double() for part in parts[0]], parts[1], 1e-5)


def test_what_it_remembers_for_the_gradient_is_given_back() -> None:
    values = rows(4).detach().repeat(1, 3)[:, :12].requires_grad_()
    function = _OfClasses(4, 3, 0.1, 20.0, 1.0)
    total = function(values).sum()
    assert function._found
    first = torch.autograd.grad(total, values, retain_graph=True)[0]
    assert not function._found
    assert torch.equal(torch.autograd.grad(total, values)[0], first)
