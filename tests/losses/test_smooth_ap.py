"""SmoothAPLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Execution, InputError
from metricreg.losses import SmoothAPLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, Scenario, check, row_loss, rows
from tests.reference.smooth_ap import smooth_ap

PARAMETERS: list[dict[str, Any]] = [{"temperature": 0.5}, {"temperature": 0.003}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(SmoothAPLoss(), row_loss(smooth_ap, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(SmoothAPLoss(**parameters), row_loss(smooth_ap, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    naive = row_loss(smooth_ap, measure, REDUCE, temperature=0.3)
    check(SmoothAPLoss(0.3, distance=ours()), naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(SmoothAPLoss(reducer=ours()), row_loss(smooth_ap, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_a_tiny_loss_has_its_value_in_float32() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, -0.8]], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2])  # 40 temperatures apart
    naive = row_loss(smooth_ap, MEASURE, REDUCE)
    check(SmoothAPLoss(), naive, Scenario(x.detach().double().requires_grad_(), labels))
    total = SmoothAPLoss()(x, labels)
    want = 2 * torch.sigmoid(torch.tensor(-40.0, dtype=torch.float64)) / 1.5
    assert float(total.detach()) == pytest.approx(float(want), rel=1e-4, abs=0)
    assert torch.autograd.grad(total, x)[0].abs().max() > 0


def test_needs_labels() -> None:
    with pytest.raises(InputError, match="needs labels"):
        SmoothAPLoss()(rows(4), tuples=([0], [1], [2]))


def test_a_row_is_its_own_positive_only_where_both_of_its_labels_are_the_same() -> None:
    x, labels, others = rows(6), [0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 1, 0]  # the same for row 4
    ours = SmoothAPLoss()(x, labels, ref_embeddings=x, ref_labels=others)
    separate = SmoothAPLoss()(x, labels, ref_embeddings=x.clone(), ref_labels=others)
    torch.testing.assert_close(ours, separate, rtol=1e-12, atol=0)


def test_comparisons_are_made_for_one_positive_after_another_and_a_tile_at_a_time() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 4
    with LargestTensor() as largest:
        SmoothAPLoss()(x, labels, execution=Execution("tiled", tile=5)).backward()
    assert largest.numel == 5 * 40
