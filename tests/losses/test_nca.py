"""NCALoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg.distances import LpDistance
from metricreg.losses import NCALoss
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, row_loss
from tests.reference.nca import nca

PARAMETERS: list[dict[str, Any]] = [{"softmax_scale": 10.0}, {"softmax_scale": 0.3}]
MEASURE, REDUCE = DISTANCES["lp squared"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(NCALoss(), row_loss(nca, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(NCALoss(**parameters), row_loss(nca, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        NCALoss(distance=ours()),
        row_loss(nca, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(NCALoss(reducer=ours()), row_loss(nca, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_a_far_positive_among_near_negatives_does_not_saturate() -> None:
    x = torch.tensor([[0.0], [15.0], [0.1]], requires_grad=True)  # squared distances 225 and 0.01
    total = NCALoss(distance=LpDistance(power=2, normalize=False))(x, [0, 0, 1])
    first, second = 225.0 - 0.01, math.log1p(math.exp(225.0 - 14.9**2))
    assert float(total.detach()) == pytest.approx((first + second) / 2, rel=1e-4)
