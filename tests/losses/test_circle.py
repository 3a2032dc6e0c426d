"""CircleLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.losses import CircleLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.circle import circle

PARAMETERS: list[dict[str, Any]] = [{"m": 0.25, "gamma": 100.0}, {"m": -0.1, "gamma": 4.0}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["avg_non_zero"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(CircleLoss(), pair_loss(circle, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(CircleLoss(**parameters), pair_loss(circle, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(CircleLoss(reducer=ours()), pair_loss(circle, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_the_default_scale_of_faces_does_not_overflow() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = CircleLoss(m=0.25, gamma=256.0)(x, [0, 0, 1])  # the farthest positive, the nearest negative
    # anchor 0 has both, anchor 1 a negative at -1, whose weight is 0; anchor 2 has no positive
    pull, push = 256.0 * 2.25 * 1.75, 256.0 * 1.25 * 0.75
    assert float(total.detach()) == pytest.approx((2 * pull + push) / 2, rel=1e-5)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("distance", ["lp", "dot raw", "snr"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match="CircleLoss works with CosineSimilarity"):
        CircleLoss(distance=DISTANCES[distance][0]())
