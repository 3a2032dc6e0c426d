"""P2SGradLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import P2SGradLoss
from tests.oracle import DIM, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, batch, check, proxy_loss
from tests.reference.p2s_grad import p2s_grad


def loss_of(**parameters: Any) -> P2SGradLoss:
    torch.manual_seed(0)
    return P2SGradLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(p2s_grad, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_is_a_mean_of_its_own_whatever_the_reducer(reducer: str, scenario: str) -> None:
    loss = loss_of(reducer=REDUCERS[reducer][0]())
    check(loss, proxy_loss(p2s_grad, loss.proxies), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_proxies_start_at_unit_length_and_are_left_as_they_are() -> None:
    loss = loss_of()
    torch.testing.assert_close(loss.proxies.norm(dim=1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)
    with torch.no_grad():
        loss.proxies.mul_(3.0)
    before = loss.proxies.detach().clone()
    x = batch([0, 1, 2]).x
    loss(x, [0, 1, 2]).backward()
    assert torch.equal(loss.proxies.detach(), before)
    x.grad = None
    torch.testing.assert_close(loss(x, [0, 1, 2]), loss_of()(x, [0, 1, 2]))  # only directions count


def test_the_spec_names_no_initialisation() -> None:
    assert set(loss_of().to_spec(defaults=True)) >= {"name", "embedding_size", "num_classes"}
    assert "weight_init" not in loss_of().to_spec(defaults=True)
