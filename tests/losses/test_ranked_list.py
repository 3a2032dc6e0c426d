"""RankedListLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.losses import RankedListLoss
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, PAIR_LOSSES, REDUCERS, SCENARIOS, check, pair_loss, takes
from tests.reference.ranked_list import ranked_list

ranked_list_loss = PAIR_LOSSES["ranked_list"]
NOT_SIMILARITIES = [case for case in ANY_DISTANCE if takes("ranked_list", case[0])]
PARAMETERS: list[dict[str, Any]] = [
    {"Tp": 3.0, "Tn": 0.0},
    {"margin": 0.2, "Tn": 10.0, "imbalance": 0.1, "alpha": 1.53, "Tp": 30.0},
    {"margin": 2.7, "imbalance": 0.0},
    {"imbalance": 1.0},
]
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(ranked_list_loss(), pair_loss(ranked_list, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(ranked_list_loss(**parameters), pair_loss(ranked_list, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), NOT_SIMILARITIES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        ranked_list_loss(distance=ours()),
        pair_loss(ranked_list, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        ranked_list_loss(reducer=ours()),
        pair_loss(ranked_list, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("distance", ["cosine", "dot raw"])
def test_similarities_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match="RankedListLoss works with distances, not with similarities"):
        RankedListLoss(margin=0.4, Tn=1.0, distance=DISTANCES[distance][0]())


def test_high_temperatures_do_not_overflow() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = RankedListLoss(margin=0.4, Tn=1000.0, Tp=1000.0)(x, [0, 0, 1])
    pull, push = 2.0 - 0.8, 1.2  # anchors 0 and 1 have a positive at 2, anchors 0 and 2 a negative at 0
    assert float(total.detach()) == pytest.approx((pull + push) / 3)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
