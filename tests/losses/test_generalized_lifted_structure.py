"""GeneralizedLiftedStructureLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg.losses import GeneralizedLiftedStructureLoss
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.generalized_lifted_structure import generalized_lifted_structure

PARAMETERS: list[dict[str, Any]] = [{"neg_margin": 0.5, "pos_margin": 0.2}, {"neg_margin": -1.5}]
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(
        GeneralizedLiftedStructureLoss(),
        pair_loss(generalized_lifted_structure, MEASURE, REDUCE),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        GeneralizedLiftedStructureLoss(**parameters),
        pair_loss(generalized_lifted_structure, MEASURE, REDUCE, **parameters),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        GeneralizedLiftedStructureLoss(distance=ours()),
        pair_loss(generalized_lifted_structure, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        GeneralizedLiftedStructureLoss(reducer=ours()),
        pair_loss(generalized_lifted_structure, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )
