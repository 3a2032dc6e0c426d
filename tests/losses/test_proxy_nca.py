"""ProxyNCALoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import ProxyNCALoss
from tests.oracle import DIM, DISTANCES, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.proxy_nca import proxy_nca


def loss_of(**parameters: Any) -> ProxyNCALoss:
    torch.manual_seed(0)
    return ProxyNCALoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(proxy_nca, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"softmax_scale": 8.0}, {"softmax_scale": 0.3}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(proxy_nca, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(proxy_nca, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "duplicate and zero rows"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    if (distance, scenario) == ("snr", "duplicate and zero rows"):
        pytest.skip("a zero row has no SNR")
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours())
    check(loss, proxy_loss(proxy_nca, loss.proxies, measure=measure), SCENARIOS[scenario](), plans=FEW_PLANS)
