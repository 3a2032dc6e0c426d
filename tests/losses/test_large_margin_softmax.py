"""LargeMarginSoftmaxLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.functional.angles import multiplied
from metricreg.losses import LargeMarginSoftmaxLoss
from tests.oracle import DIM, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.large_margin_softmax import large_margin_softmax, psi


def loss_of(**parameters: Any) -> LargeMarginSoftmaxLoss:
    torch.manual_seed(0)
    return LargeMarginSoftmaxLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(large_margin_softmax, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"margin": 1}, {"margin": 2, "scale": 3.0}, {"margin": 7, "scale": 0.5}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(large_margin_softmax, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(large_margin_softmax, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 7, 32])
def test_the_multiplied_angle_falls_without_a_jump_from_1_to_1_less_twice_the_margin(margin: int) -> None:
    theta = torch.linspace(0.0, torch.pi, 20001, dtype=torch.float64)
    found = multiplied(theta.cos(), margin)
    assert found[0] == 1.0
    assert float(found[-1]) == pytest.approx(1 - 2 * margin)
    assert (found.diff() <= 1e-9).all()
    assert float(found.diff().min()) > -margin * torch.pi / 20000 * 1.01
    torch.testing.assert_close(found, torch.stack([psi(c, margin) for c in theta.cos()]))


@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0 + 1e-15, -1.0 - 1e-15])
def test_the_multiplied_angle_has_a_rising_finite_slope_at_the_ends(cosine: float) -> None:
    x = torch.tensor([cosine], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(multiplied(x, 4).sum(), x)
    assert float(slope) == pytest.approx(16.0)


@pytest.mark.parametrize("margin", [0, 33, 1.5])
def test_refuses_other_margins(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        loss_of(margin=margin)
