"""What is special about SoftTripleLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SoftTripleLoss
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
