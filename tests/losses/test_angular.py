"""What is special about AngularLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg.engine.fold import Execution
from metricreg.losses import AngularLoss
from tests.oracle import rows, value_and_gradients


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=5)])
@pytest.mark.parametrize(
    "labels", [torch.arange(24) // 4, torch.arange(24) % 7 // 2, torch.zeros(24, dtype=torch.long)]
)
def test_products_of_exponentials_are_exponentials_of_sums(
    labels: torch.Tensor, plan: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(24)
    found = value_and_gradients(AngularLoss(alpha=75.0)(x, labels, execution=plan), [x])
    monkeypatch.setattr("metricreg.losses.angular.ROOM", 0.0)
    for a, b in zip(found, value_and_gradients(AngularLoss(alpha=75.0)(x, labels, execution=plan), [x]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("alpha", [60.0, 68.0, 70.0])
def test_the_steepest_products_are_exact(alpha: float) -> None:
    """Opposite embeddings, where exponentials are smallest, and equal ones, where they are largest."""
    for second in (1.0, -1.0):
        x = torch.tensor([[1.0, 0.0], [1.0, 1e-3], [second, 0.0], [second, 1e-3]], requires_grad=True)
        exact = x.detach().double().requires_grad_()
        found = [value_and_gradients(AngularLoss(alpha=alpha)(z, [0, 0, 1, 1]), [z]) for z in (x, exact)]
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-4)
