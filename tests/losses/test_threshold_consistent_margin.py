"""ThresholdConsistentMarginLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.losses import ThresholdConsistentMarginLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss
from tests.reference.threshold_consistent_margin import threshold_consistent_margin

PARAMETERS: list[dict[str, Any]] = [
    {"lambda_plus": 0.5, "lambda_minus": 3.0},
    {"margin_plus": 0.2, "margin_minus": -0.3},
    {"lambda_minus": 0.0, "margin_plus": 2.0},
]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    naive = pair_loss(threshold_consistent_margin, MEASURE, REDUCE)
    check(ThresholdConsistentMarginLoss(), naive, SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    naive = pair_loss(threshold_consistent_margin, MEASURE, REDUCE, **parameters)
    check(ThresholdConsistentMarginLoss(**parameters), naive, SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_has_means_of_its_own_whatever_the_reducer(reducer: str, scenario: str) -> None:
    loss = ThresholdConsistentMarginLoss(reducer=REDUCERS[reducer][0]())
    check(loss, pair_loss(threshold_consistent_margin, MEASURE, REDUCE), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "references", "duplicate and zero rows"])
def test_works_with_raw_products(scenario: str) -> None:
    ours, measure = DISTANCES["dot raw"]
    naive = pair_loss(threshold_consistent_margin, measure, REDUCE)
    check(ThresholdConsistentMarginLoss(distance=ours()), naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("distance", ["lp", "snr"])
def test_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match="works with CosineSimilarity or DotProductSimilarity, not with"):
        ThresholdConsistentMarginLoss(distance=DISTANCES[distance][0]())


def test_pairs_at_a_margin_count() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    total = ThresholdConsistentMarginLoss(margin_plus=1.0, margin_minus=0.0)(x, [0, 1, 1])
    assert float(total) == 0.0
    total = ThresholdConsistentMarginLoss(margin_plus=0.5, margin_minus=0.0)(x, [0, 0, 1])
    assert float(total) == pytest.approx(0.5 + (1.0 + 0.0) / 2)


def test_pairs_within_their_margins_cost_nothing() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    total = ThresholdConsistentMarginLoss()(x, [0, 0, 1])
    assert float(total.detach()) == 0.0
    assert (torch.autograd.grad(total, x)[0] == 0).all()
