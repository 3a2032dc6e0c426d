"""RecallAtKLoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg import Execution, SpecError
from metricreg.losses import RecallAtKLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, row_loss, rows
from tests.reference.recall_at_k import recall_at_k

PARAMETERS: list[dict[str, Any]] = [
    {"k": [1], "k_temperatures": [0.3]},
    {"k": [3, 1], "k_temperatures": [2.0, 0.5], "temperature": 0.3},
    {"k": [2, 5], "k_temperatures": [0.01, 4.0]},
]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(RecallAtKLoss(), row_loss(recall_at_k, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets", "one class"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(RecallAtKLoss(**parameters), row_loss(recall_at_k, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    naive = row_loss(recall_at_k, measure, REDUCE, temperature=0.3)
    check(RecallAtKLoss(temperature=0.3, distance=ours()), naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(RecallAtKLoss(reducer=ours()), row_loss(recall_at_k, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_is_one_less_recall_where_sigmoids_are_steps() -> None:
    angles = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0, 50.0]).deg2rad()
    x, labels = torch.stack([angles.cos(), angles.sin()], 1), torch.tensor([0, 1, 0, 0, 1, 0])
    # the positives of the first are at the ranks 2, 3 and 5; of a rank of exactly k, a half counts
    for k, found in ((1, 0.0), (2, 0.5), (3, 1.5), (4, 2.0), (5, 2.5), (6, 3.0)):
        loss = RecallAtKLoss([k], k_temperatures=[1e-3], temperature=1e-4)
        total = loss(x[:1], labels[:1], ref_embeddings=x[1:], ref_labels=labels[1:])
        assert float(total) == pytest.approx(1 - found / min(k, 3), abs=1e-4)


def test_a_recall_that_is_nearly_whole_has_its_value_in_float32() -> None:
    x = torch.eye(3)[[0, 0, 1, 2]].requires_grad_()
    total = RecallAtKLoss([20])(x, [0, 0, 1, 2])
    assert float(total.detach()) == pytest.approx(1 / (1 + math.exp(19.0)), rel=1e-4, abs=0)


def test_comparisons_are_made_for_one_positive_after_another_and_a_tile_at_a_time() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 4
    with LargestTensor() as largest:
        RecallAtKLoss()(x, labels, execution=Execution("tiled", tile=5)).backward()
    assert largest.numel == 5 * 40


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"k": []}, "k"),
        ({"k": [0]}, "k"),
        ({"k": [1, 2], "k_temperatures": [1.0]}, "k_temperatures has 1 entries for 2 of k; give one each"),
        ({"k": [1], "k_temperatures": [0.0]}, "k_temperatures"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_refuses_what_ranks_nothing(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        RecallAtKLoss(**parameters)
