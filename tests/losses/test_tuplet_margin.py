"""TupletMarginLoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.losses import TupletMarginLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.tuplet_margin import tuplet_margin

PARAMETERS: list[dict[str, Any]] = [{"margin": 30.0, "scale": 4.0}, {"margin": 0.0}, {"margin": 120.0, "scale": 10.0}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(TupletMarginLoss(), pair_loss(tuplet_margin, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        TupletMarginLoss(**parameters), pair_loss(tuplet_margin, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]()
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        TupletMarginLoss(reducer=ours()),
        pair_loss(tuplet_margin, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("distance", ["lp", "dot raw", "snr"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match="TupletMarginLoss works with CosineSimilarity"):
        TupletMarginLoss(distance=DISTANCES[distance][0]())


def test_a_positive_where_the_anchor_is_and_a_negative_opposite_do_not_overflow() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = TupletMarginLoss(scale=1000.0)(x, [0, 0, 1])
    # anchor 0: its positive is opposite, its negative in its place; anchor 1: both are opposite
    slack = 1.0 - math.cos(math.radians(5.73))
    first, second = 1000.0 * (2.0 - slack), math.log1p(math.exp(-1000.0 * slack))
    assert float(total.detach()) == pytest.approx((first + second) / 2, rel=1e-4)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
