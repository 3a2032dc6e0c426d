"""DecoupledContrastiveLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import DecoupledContrastiveLoss
from tests.oracle import (
    ANY_DISTANCE,
    DISTANCES,
    FEW_PLANS,
    REDUCERS,
    SCENARIOS,
    check,
    pair_loss,
    rows,
    value_and_gradients,
)
from tests.reference.decoupled_contrastive import decoupled_contrastive

PARAMETERS: list[dict[str, Any]] = [
    {"temperature": 0.01},
    {"temperature": 2.0},
    {"weighting": "vmf", "sigma": 0.1},
    {"weighting": "vmf", "temperature": 1.0, "sigma": 3.0},
]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]
weightings = pytest.mark.parametrize("weighting", [None, "vmf"])


@weightings
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str, weighting: Any) -> None:
    naive = pair_loss(decoupled_contrastive, MEASURE, REDUCE, weighting=weighting)
    check(DecoupledContrastiveLoss(weighting=weighting), naive, SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    naive = pair_loss(decoupled_contrastive, MEASURE, REDUCE, **parameters)
    check(DecoupledContrastiveLoss(**parameters), naive, SCENARIOS[scenario]())


@weightings
@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str, weighting: Any) -> None:
    ours, measure = DISTANCES[distance]
    naive = pair_loss(decoupled_contrastive, measure, REDUCE, weighting=weighting)
    loss = DecoupledContrastiveLoss(weighting=weighting, distance=ours())
    check(loss, naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@weightings
@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str, weighting: Any) -> None:
    ours, reduce = REDUCERS[reducer]
    naive = pair_loss(decoupled_contrastive, MEASURE, reduce, weighting=weighting)
    loss = DecoupledContrastiveLoss(weighting=weighting, reducer=ours())
    check(loss, naive, SCENARIOS[scenario](), plans=FEW_PLANS)


def test_weights_that_differ_much_stay_finite() -> None:
    # a negative is so much nearer than the positives that its weight, which nobody asks for, would overflow
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    loss = DecoupledContrastiveLoss(temperature=0.01, weighting="vmf", sigma=0.01)
    total, gradient = value_and_gradients(loss(x, [0, 0, 1]), [x])
    assert float(total) == pytest.approx(50.0)  # the mean of 1/0.01 and 0, and 0 of the pair itself
    assert gradient.isfinite().all()


def test_weights_of_pairs_that_are_all_alike_are_one() -> None:
    x = rows(4).detach()
    x[2:] = x[:2]
    want = DecoupledContrastiveLoss()(x, [0, 1, 0, 1])
    torch.testing.assert_close(DecoupledContrastiveLoss(weighting="vmf")(x, [0, 1, 0, 1]), want)
