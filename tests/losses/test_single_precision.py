"""Losses in float32 against themselves in float64, where a formula as it is written would lose digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Loss
from metricreg import losses as L
from tests.oracle import DIM, assert_close, rows, value_and_gradients


def near_by_far(each: int) -> Tensor:
    """Rows `[40, 32]` whose positives are nearest by far."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(8 if each == 5 else 20, 32, generator=generator)
    return centers[torch.arange(40) // each] + 0.15 * torch.randn(40, 32, generator=generator)


def opposite_or_equal(second: float) -> Tensor:
    """Where exponentials are smallest, and where they are largest."""
    return torch.tensor([[1.0, 0.0], [1.0, 1e-3], [second, 0.0], [second, 1e-3]])


FOUR = torch.arange(200) % 4
CASES: dict[str, tuple[Callable[..., Loss], Tensor, Any, float]] = {
    **{
        f"supcon at {temperature}, classes of {each}": (
            partial(L.SupConLoss, temperature=temperature),
            near_by_far(each),
            torch.arange(40) // each,
            2e-4,
        )
        for temperature in (0.05, 0.02, 0.01)
        for each in (2, 5)
    },
    **{
        f"soft_triple of the nearest center, {gamma}": (
            partial(L.SoftTripleLoss, 4, DIM, gamma=gamma),
            rows(9),
            torch.arange(9) % 4,
            1e-5,
        )
        for gamma in (1e-4, 1e-8, 1e-20)
    },
    **{
        f"angular at {alpha} degrees, {second}": (
            partial(L.AngularLoss, alpha=alpha),
            opposite_or_equal(second),
            [0, 0, 1, 1],
            5e-4,
        )
        for alpha in (60.0, 68.0, 70.0)
        for second in (1.0, -1.0)
    },
    "manifold": (partial(L.ManifoldLoss, DIM, 4), rows(200), FOUR, 1e-3),
    "manifold of more classes": (partial(L.ManifoldLoss, DIM, 4, num_classes=7), rows(200), FOUR, 1e-3),
}


@pytest.mark.parametrize("name", CASES)
def test_float32_is_as_exact_as_that_is(name: str) -> None:
    make, x, labels, tolerance = CASES[name]
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        loss, given = make().to(dtype), x.detach().float().to(dtype).requires_grad_()
        found.append(value_and_gradients(loss(given, labels), [given, *loss.parameters()]))
    assert_close(found[0], found[1], tolerance)
