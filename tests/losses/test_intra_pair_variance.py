"""IntraPairVarianceLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg.losses import IntraPairVarianceLoss
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.intra_pair_variance import intra_pair_variance

PARAMETERS: list[dict[str, Any]] = [{"pos_eps": 0.3, "neg_eps": 0.2}, {"pos_eps": 0.0}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(IntraPairVarianceLoss(), pair_loss(intra_pair_variance, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        IntraPairVarianceLoss(**parameters),
        pair_loss(intra_pair_variance, MEASURE, REDUCE, **parameters),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        IntraPairVarianceLoss(distance=ours()),
        pair_loss(intra_pair_variance, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        IntraPairVarianceLoss(reducer=ours()),
        pair_loss(intra_pair_variance, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )
