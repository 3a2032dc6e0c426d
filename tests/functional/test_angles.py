"""Angles: the multiplied angle of large-margin softmax, and its slope at the ends."""

from __future__ import annotations

import pytest
import torch

from metricreg.functional.angles import cos_of_multiple
from tests.reference.proxy_losses import psi


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 7, 32])
def test_the_multiplied_angle_falls_without_a_jump_from_1_to_1_less_twice_the_margin(margin: int) -> None:
    theta = torch.linspace(0.0, torch.pi, 20001, dtype=torch.float64)
    found = cos_of_multiple(theta.cos(), margin)
    assert found[0] == 1.0
    assert float(found[-1]) == pytest.approx(1 - 2 * margin)
    assert (found.diff() <= 1e-9).all()
    assert float(found.diff().min()) > -margin * torch.pi / 20000 * 1.01
    torch.testing.assert_close(found, torch.stack([psi(c, margin) for c in theta.cos()]))


@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0 + 1e-15, -1.0 - 1e-15])
def test_the_multiplied_angle_has_a_rising_finite_slope_at_the_ends(cosine: float) -> None:
    x = torch.tensor([cosine], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(cos_of_multiple(x, 4).sum(), x)
    assert float(slope) == pytest.approx(16.0)
