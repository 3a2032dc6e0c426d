"""AngularLoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.engine.fold import Execution
from metricreg.losses import AngularLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss, rows, value_and_gradients
from tests.reference.angular import angular

PARAMETERS: list[dict[str, Any]] = [{"alpha": 20.0}, {"alpha": 75.0}]
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(AngularLoss(), pair_loss(angular, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(AngularLoss(**parameters), pair_loss(angular, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(AngularLoss(reducer=ours()), pair_loss(angular, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("distance", ["cosine", "snr", "lp p=1", "lp squared", "lp raw"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match=r"AngularLoss (works with LpDistance|is about angles of unit embeddings)"):
        AngularLoss(distance=DISTANCES[distance][0]())


def test_an_angle_of_nearly_ninety_degrees_does_not_overflow() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = AngularLoss(alpha=89.0)(x, [0, 0, 1])
    squared = math.tan(math.radians(89.0)) ** 2
    assert float(total.detach()) == pytest.approx(8 * squared - 2 * (1 + squared), rel=1e-5)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=5)])
@pytest.mark.parametrize(
    "labels", [torch.arange(24) // 4, torch.arange(24) % 7 // 2, torch.zeros(24, dtype=torch.long)]
)
def test_products_of_exponentials_are_exponentials_of_sums(
    labels: torch.Tensor, plan: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(24)
    found = value_and_gradients(AngularLoss(alpha=75.0)(x, labels, execution=plan), [x])
    monkeypatch.setattr("metricreg.losses.angular.ROOM", 0.0)
    for a, b in zip(found, value_and_gradients(AngularLoss(alpha=75.0)(x, labels, execution=plan), [x]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("alpha", [60.0, 68.0, 70.0])
def test_the_steepest_products_are_exact(alpha: float) -> None:
    """Opposite embeddings, where exponentials are smallest, and equal ones, where they are largest."""
    for second in (1.0, -1.0):
        x = torch.tensor([[1.0, 0.0], [1.0, 1e-3], [second, 0.0], [second, 1e-3]], requires_grad=True)
        exact = x.detach().double().requires_grad_()
        found = [value_and_gradients(AngularLoss(alpha=alpha)(z, [0, 0, 1, 1]), [z]) for z in (x, exact)]
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-4)
