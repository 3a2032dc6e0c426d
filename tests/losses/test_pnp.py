"""PNPLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Execution, SpecError
from metricreg.losses import PNPLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import ANY_DISTANCE, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, row_loss, rows
from tests.reference.pnp import pnp

PARAMETERS: list[dict[str, Any]] = [
    {"anneal": 0.4},
    {"variant": "Ds"},
    {"variant": "Dq"},
    {"variant": "Dq", "alpha": 3.0, "anneal": 0.1},
    {"variant": "Iu"},
    {"variant": "Ib"},
    {"variant": "Ib", "b": 0.5, "anneal": 0.1},
]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(PNPLoss(), row_loss(pnp, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize(
    "scenario", ["balanced", "references", "pairs", "triplets", "one class", "duplicate and zero rows"]
)
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(PNPLoss(**parameters), row_loss(pnp, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    naive = row_loss(pnp, measure, REDUCE, anneal=0.3)
    check(PNPLoss(anneal=0.3, distance=ours()), naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(PNPLoss(reducer=ours()), row_loss(pnp, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("variant", ["Ds", "Dq", "O"])
def test_few_negatives_far_behind_have_their_value_in_float32(variant: Any) -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, -0.8]], requires_grad=True)
    total = PNPLoss(variant=variant)(x, [0, 0, 1, 2])  # 40 temperatures apart: all variants but I are R there
    want = 2 * torch.sigmoid(torch.tensor(-40.0, dtype=torch.float64))
    assert float(total.detach()) == pytest.approx(float(want), rel=1e-4, abs=0)
    assert torch.autograd.grad(total, x)[0].abs().max() > 0


def test_comparisons_are_made_for_one_positive_after_another_and_a_tile_at_a_time() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 4
    with LargestTensor() as largest:
        PNPLoss()(x, labels, execution=Execution("tiled", tile=5)).backward()
    assert largest.numel == 5 * 40


@pytest.mark.parametrize("parameters", [{"variant": "o"}, {"b": 0.0}, {"alpha": -1.0}, {"anneal": 0.0}])
def test_refuses_what_is_no_variant_and_no_scale(parameters: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(parameters))):
        PNPLoss(**parameters)
