"""What is special about AngularLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg.losses import AngularLoss
from tests.oracle import value_and_gradients


@pytest.mark.parametrize("alpha", [60.0, 68.0, 70.0])
def test_the_steepest_angles_are_exact(alpha: float) -> None:
    """Opposite embeddings, where exponentials are smallest, and equal ones, where they are largest."""
    for second in (1.0, -1.0):
        x = torch.tensor([[1.0, 0.0], [1.0, 1e-3], [second, 0.0], [second, 1e-3]], requires_grad=True)
        exact = x.detach().double().requires_grad_()
        found = [value_and_gradients(AngularLoss(alpha=alpha)(z, [0, 0, 1, 1]), [z]) for z in (x, exact)]
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-4)
