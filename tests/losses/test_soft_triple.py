"""SoftTripleLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SoftTripleLoss
from tests.oracle import DIM, DISTANCES, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.soft_triple import soft_triple


def loss_of(**parameters: Any) -> SoftTripleLoss:
    torch.manual_seed(0)
    return SoftTripleLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(soft_triple, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize(
    "parameters", [{"centers_per_class": 1, "margin": 0.2}, {"centers_per_class": 3, "la": 5.0, "gamma": 1.0}]
)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(soft_triple, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(soft_triple, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "duplicate and zero rows"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    if (distance, scenario) == ("snr", "duplicate and zero rows"):
        pytest.skip("a zero row has no SNR")
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours(), la=4.0, gamma=0.5, centers_per_class=3)
    check(
        loss,
        proxy_loss(soft_triple, loss.proxies, measure=measure, la=4.0, gamma=0.5, centers_per_class=3),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )
