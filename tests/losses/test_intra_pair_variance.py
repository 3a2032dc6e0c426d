"""IntraPairVarianceLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Batch
from metricreg.fold import Execution
from metricreg.losses import IntraPairVarianceLoss
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
from tests.reference.intra_pair_variance import intra_pair_variance

PARAMETERS: list[dict[str, Any]] = [{"pos_eps": 0.3, "neg_eps": 0.2}, {"pos_eps": 0.0}]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(IntraPairVarianceLoss(), pair_loss(intra_pair_variance, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        IntraPairVarianceLoss(**parameters),
        pair_loss(intra_pair_variance, MEASURE, REDUCE, **parameters),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    check(
        IntraPairVarianceLoss(distance=ours()),
        pair_loss(intra_pair_variance, measure, REDUCE),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        IntraPairVarianceLoss(reducer=ours()),
        pair_loss(intra_pair_variance, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


def test_a_batch_that_a_subclass_changes_after_prepare_is_the_one_that_counts() -> None:
    class WithoutReferences(IntraPairVarianceLoss):
        def prepare(self, batch: Batch) -> Batch:
            batch = super().prepare(batch)
            return batch.replace(references=batch.references.detach())

    x, labels = rows(6), torch.arange(6) // 2
    found = [
        value_and_gradients(WithoutReferences()(x, labels, execution=plan), [x])[1]
        for plan in (Execution("dense"), Execution("tiled", tile=2))
    ]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)
    (whole,) = torch.autograd.grad(IntraPairVarianceLoss()(x, labels), x)
    assert (whole - found[0]).abs().max() > 1e-3
