"""InstanceLoss against its loop."""

from __future__ import annotations

import pytest
import torch

from metricreg.losses import InstanceLoss
from metricreg.reducers import SumReducer
from tests.oracle import ANY_DISTANCE, BALANCED, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss, rows
from tests.reference import reducers
from tests.reference.instance import instance

COSINE = DISTANCES["cosine"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(InstanceLoss(gamma=4.0), pair_loss(instance, COSINE, reducers.mean, gamma=4.0), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references"])
@pytest.mark.parametrize("gamma", [0.5, 20.0, 64.0])
def test_agrees_with_the_formula_for_other_scales(gamma: float, scenario: str) -> None:
    check(InstanceLoss(gamma=gamma), pair_loss(instance, COSINE, reducers.mean, gamma=gamma), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs", "references"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = InstanceLoss(gamma=4.0, reducer=ours())
    check(loss, pair_loss(instance, COSINE, reduce, gamma=4.0), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    loss = InstanceLoss(gamma=0.5, distance=ours())
    check(loss, pair_loss(instance, measure, reducers.mean, gamma=0.5), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_the_order_of_the_rows_does_not_matter() -> None:
    x, labels, order = rows(10), torch.tensor(BALANCED), torch.tensor([3, 9, 1, 0, 4, 8, 2, 6, 7, 5])
    torch.testing.assert_close(InstanceLoss()(x, labels), InstanceLoss()(x[order], labels[order]))


def test_its_own_row_is_a_positive_of_an_embedding() -> None:
    x = torch.eye(3, dtype=torch.float64)
    each = torch.log1p(2.0 * torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    torch.testing.assert_close(InstanceLoss(gamma=2.0, reducer=SumReducer())(x, [0, 1, 2]), 3 * each)
    assert InstanceLoss()(x, [5, 5, 5]) == 0.0
