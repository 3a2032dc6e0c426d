"""Angles: the multiplied angle of large-margin softmax, and its slope at the ends."""

from __future__ import annotations

import math

import pytest
import torch

from metricreg.functional.angles import cos_of_multiple, sines
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


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("angle", [1e-5, 1e-4, 1e-3, 1e-2, 0.06, 0.1, 1.0])
def test_sines_have_all_digits_near_0_and_180_degrees(angle: float, opposite: bool) -> None:
    theta = torch.pi - angle if opposite else angle
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64).float().requires_grad_()
    cosine = x.float() @ y.mT
    found = sines(cosine, lambda i, j: (x.float()[i], y[j]))
    assert float(found.detach()) == pytest.approx(math.sin(angle), rel=2e-4)
    (slope,) = torch.autograd.grad(found.sum(), y)
    tangent = torch.tensor([-math.sin(theta), math.cos(theta)])
    assert float(slope[0] @ tangent) == pytest.approx(math.cos(theta), rel=1e-3)


def test_sines_of_equal_rows_are_0_without_a_gradient() -> None:
    x = torch.tensor([[0.6, 0.8]], requires_grad=True)
    found = sines(x @ x.mT, lambda i, j: (x[i], x[j]))
    assert float(found.detach()) == 0.0
    assert torch.autograd.grad(found.sum(), x)[0].eq(0.0).all()


@pytest.mark.parametrize("angle", [1e-4, 1e-2, 1.0])
def test_sines_are_the_same_in_transforms(angle: float) -> None:
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.cos(angle), math.sin(angle)]])
    many = torch.func.vmap(lambda y: sines(x @ y.mT, lambda i, j: (x[i], y[j])))(y[None])
    torch.testing.assert_close(many[0], sines(x @ y.mT, lambda i, j: (x[i], y[j])))


def test_entries_that_do_not_count_ask_for_no_rows() -> None:
    asked = []

    def rows(i: torch.Tensor, j: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append((i.tolist(), j.tolist()))
        return torch.ones(len(i), 1), torch.ones(len(j), 1)

    sines(torch.tensor([[0.5, 1.0, 1.0]]), rows, torch.tensor([[True, False, True]]))
    sines(torch.tensor([[0.5, 1.0, -0.5]]), rows, torch.tensor([[True, False, True]]))
    assert asked == [([0], [2])]
