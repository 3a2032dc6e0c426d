"""MultiSimilarityLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg.losses import MultiSimilarityLoss
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.multi_similarity import multi_similarity

PARAMETERS: list[dict[str, Any]] = [{"alpha": 5.0, "beta": 10.0, "base": 0.1}, {"base": -0.3}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(MultiSimilarityLoss(), pair_loss(multi_similarity, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        MultiSimilarityLoss(**parameters),
        pair_loss(multi_similarity, MEASURE, REDUCE, **parameters),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        MultiSimilarityLoss(distance=ours()),
        pair_loss(multi_similarity, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        MultiSimilarityLoss(reducer=ours()),
        pair_loss(multi_similarity, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )
