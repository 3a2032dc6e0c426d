"""CosFaceLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import CosFaceLoss
from tests.oracle import DIM, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.cosface import cosface


def loss_of(**parameters: Any) -> CosFaceLoss:
    torch.manual_seed(0)
    return CosFaceLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(cosface, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"margin": 0.0}, {"margin": 1.5, "scale": 3.0}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, float]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(cosface, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(cosface, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)
