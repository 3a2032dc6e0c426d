"""NPairsLoss against its loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricreg import InputError
from metricreg.losses import NPairsLoss
from tests.oracle import (
    ANY_DISTANCE,
    DISTANCES,
    FEW_PLANS,
    REDUCERS,
    SCENARIOS,
    Reduce,
    Scenario,
    check,
    reduced,
    rows,
)
from tests.reference.distances import Measure
from tests.reference.npairs import npairs, pairs_of_classes
from tests.reference.reducers import Anchors

MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


def naive(measure: Measure, reduce: Reduce) -> Callable[[Scenario], Tensor]:
    def of(scenario: Scenario) -> Tensor:
        labels = scenario.labels.tolist()
        pairs = pairs_of_classes(scenario.chosen, labels)
        terms = npairs(measure, scenario.x, scenario.references, pairs)
        return reduced(terms, reduce, Anchors(len(pairs), [labels[a] for a, _ in pairs]))

    return of


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(NPairsLoss(), naive(MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(NPairsLoss(distance=ours()), naive(measure, REDUCE), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(NPairsLoss(reducer=ours()), naive(MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_it_wants_labels() -> None:
    with pytest.raises(InputError, match="needs labels"):
        NPairsLoss()(rows(3), tuples=([0], [1], [2]))


def test_a_nan_in_a_row_that_no_pair_has_is_not_hidden() -> None:
    x = rows(4).detach()
    x[3] = torch.nan
    assert NPairsLoss()(x, [0, 0, 1, 0]).isnan()
