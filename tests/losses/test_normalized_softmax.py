"""NormalizedSoftmaxLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import NormalizedSoftmaxLoss
from tests.oracle import DIM, DISTANCES, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss
from tests.reference.normalized_softmax import normalized_softmax


def loss_of(**parameters: Any) -> NormalizedSoftmaxLoss:
    torch.manual_seed(0)
    return NormalizedSoftmaxLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(normalized_softmax, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"temperature": 1.0}, {"temperature": 0.3}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(normalized_softmax, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(normalized_softmax, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "duplicate and zero rows"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    if (distance, scenario) == ("snr", "duplicate and zero rows"):
        pytest.skip("a zero row has no SNR")
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours(), temperature=0.5)
    check(
        loss,
        proxy_loss(normalized_softmax, loss.proxies, measure=measure, temperature=0.5),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )
