"""AngularLoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.losses import AngularLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.angular import angular

PARAMETERS: list[dict[str, Any]] = [{"alpha": 20.0}, {"alpha": 75.0}]
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(AngularLoss(), pair_loss(angular, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(AngularLoss(**parameters), pair_loss(angular, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(AngularLoss(reducer=ours()), pair_loss(angular, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("distance", ["cosine", "snr", "lp p=1", "lp squared", "lp raw"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match=r"AngularLoss (works with LpDistance|is about angles of unit embeddings)"):
        AngularLoss(distance=DISTANCES[distance][0]())


def test_an_angle_of_nearly_ninety_degrees_does_not_overflow() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = AngularLoss(alpha=89.0)(x, [0, 0, 1])
    squared = math.tan(math.radians(89.0)) ** 2
    assert float(total.detach()) == pytest.approx(8 * squared - 2 * (1 + squared), rel=1e-5)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
