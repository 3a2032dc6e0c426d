"""ContrastiveLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch
from metricreg.batch.terms import TermError
from metricreg.distances import LpDistance
from metricreg.losses import ContrastiveLoss
from tests.oracle import (
    ANY_DISTANCE,
    DISTANCES,
    FEW_PLANS,
    PLANS,
    REDUCERS,
    SCENARIOS,
    assert_close,
    check,
    pair_loss,
    rows,
    value_and_gradients,
)
from tests.reference.contrastive import contrastive

PARAMETERS: list[dict[str, Any]] = [
    {"pos_margin": 0.3, "neg_margin": 1.2},
    {"power": 2.0},
    {"neg_margin": 1.5, "power": 0.5},
]
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["avg_non_zero"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    # a margin of 1 is the distance of a zero row from a unit one: whether it costs something would be up to rounding
    loss, naive = ContrastiveLoss(neg_margin=0.97), pair_loss(contrastive, MEASURE, REDUCE, neg_margin=0.97)
    check(loss, naive, SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(ContrastiveLoss(**parameters), pair_loss(contrastive, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        ContrastiveLoss(neg_margin=1.1, distance=ours()),
        pair_loss(contrastive, measure, REDUCE, neg_margin=1.1),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        ContrastiveLoss(reducer=ours()), pair_loss(contrastive, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_distance_at_the_margin_costs_nothing_whatever_its_rounding(dtype: torch.dtype) -> None:
    x = rows(12, dtype=dtype).detach()
    x[3] = 0.0  # whose distance from the others is their norm, 1 up to rounding
    x.requires_grad_()
    terms = ContrastiveLoss().all_terms(Batch.of(x, torch.arange(12)))
    assert (terms["neg_loss"].values[3, [0, 1, 2, 4, 11]] == 0).all()
    want = value_and_gradients(ContrastiveLoss()(x, list(range(12)), execution=PLANS["dense"]), [x])
    for name, plan in PLANS.items():
        got = value_and_gradients(ContrastiveLoss()(x, list(range(12)), execution=plan), [x])
        assert_close(got, want, 1e-5 if dtype is torch.float32 else 1e-12, name)


@pytest.mark.parametrize("made", [lambda d: d[:, :3], lambda d: d[:5], lambda d: 3.0])
def test_a_distance_of_another_shape_is_named_as_one(made: Any) -> None:
    class Odd(LpDistance):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
            return made(super().forward(x, y))

    with pytest.raises(TermError, match="pos_loss"):
        ContrastiveLoss(distance=Odd())(rows(10), torch.arange(10) // 2)
