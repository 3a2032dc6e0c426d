"""SupConLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SupConLoss
from tests.oracle import (
    ANY_DISTANCE,
    DISTANCES,
    FEW_PLANS,
    REDUCERS,
    SCENARIOS,
    assert_close,
    check,
    pair_loss,
    value_and_gradients,
)
from tests.reference.supcon import supcon

PARAMETERS: list[dict[str, Any]] = [{"temperature": 0.05}, {"temperature": 2.0}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["avg_non_zero"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(SupConLoss(), pair_loss(supcon, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(SupConLoss(**parameters), pair_loss(supcon, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(SupConLoss(distance=ours()), pair_loss(supcon, measure, REDUCE), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(SupConLoss(reducer=ours()), pair_loss(supcon, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("temperature", [0.05, 0.02, 0.01])
@pytest.mark.parametrize("each", [2, 5])
def test_a_positive_that_is_nearest_by_far_costs_what_it_costs(temperature: float, each: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) // each
    x = torch.randn(8 if each == 5 else 20, 32, generator=generator)[labels]
    x = (x + 0.15 * torch.randn(40, 32, generator=generator)).requires_grad_()
    exact = x.detach().double().requires_grad_()
    loss = SupConLoss(temperature=temperature)
    got, want = value_and_gradients(loss(x, labels), [x]), value_and_gradients(loss(exact, labels), [exact])
    assert_close(got, want, 2e-4)
