"""ArcFaceLoss against its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg.losses import ArcFaceLoss
from metricreg.reducers import AvgNonZeroReducer
from metricreg.regularizers import RegularFaceRegularizer
from tests.oracle import DIM, FEW_PLANS, REDUCERS, SCENARIOS, Reduce, Scenario, check, reduced
from tests.reference.arcface import arcface
from tests.reference.selection import occurrence_weights

PROXY_SCENARIOS = [name for name in SCENARIOS if "references" not in name]


def loss_of(**parameters: Any) -> ArcFaceLoss:
    torch.manual_seed(0)
    return ArcFaceLoss(num_classes=4, embedding_size=DIM, **parameters).double()


def formula(loss: ArcFaceLoss, reduce: Reduce = REDUCERS["mean"][1], **parameters: Any) -> Callable[[Scenario], Tensor]:
    def naive(scenario: Scenario) -> Tensor:
        labels: Sequence[int] = scenario.labels.tolist()
        weights = occurrence_weights(len(labels), scenario.tuples)
        return reduced(arcface(scenario.x, loss.proxies, labels, weights, **parameters), reduce, scenario.anchors)

    return naive


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, formula(loss), SCENARIOS[scenario]())


@pytest.mark.parametrize(
    "parameters", [{"margin": 90.0, "scale": 10.0}, {"margin": 170.0, "scale": 4.0}, {"margin": 0.0}]
)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, float]) -> None:
    loss = loss_of(**parameters)
    check(loss, formula(loss, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, formula(loss, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_stays_finite_for_an_embedding_on_its_proxy_and_opposite_to_it() -> None:
    loss = loss_of(reducer=AvgNonZeroReducer())
    x = torch.stack([loss.proxies[0] * 3.0, loss.proxies[1] * -2.0]).detach().requires_grad_()
    total = loss(x, [0, 1])
    total.backward()
    assert total.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_a_penalty_on_the_proxies_is_added_with_its_weight() -> None:
    regularizer = RegularFaceRegularizer()
    loss = loss_of(weight_regularizer=regularizer, weight_reg_weight=0.25)
    plain = formula(loss)
    check(loss, lambda s: plain(s) + 0.25 * regularizer(loss.proxies), SCENARIOS["balanced"]())
