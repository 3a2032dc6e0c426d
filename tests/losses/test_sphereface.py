"""SphereFaceLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SphereFaceLoss
from tests.oracle import DIM, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.sphereface import sphereface


def loss_of(**parameters: Any) -> SphereFaceLoss:
    torch.manual_seed(0)
    return SphereFaceLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(sphereface, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"margin": 1}, {"margin": 2, "scale": 3.0}, {"margin": 7, "scale": 0.5}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(sphereface, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(sphereface, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)
