"""SigLIPLoss against its loop, and against the paper's pseudocode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg.losses import SigLIPLoss
from tests.oracle import (
    ANY_DISTANCE,
    DISTANCES,
    FEW_PLANS,
    REDUCERS,
    SCENARIOS,
    Reduce,
    Scenario,
    check,
    pair_loss,
    rows,
    value_and_gradients,
)
from tests.reference import reducers
from tests.reference.distances import Measure
from tests.reference.siglip import siglip

PARAMETERS: list[dict[str, Any]] = [{"temperature": 100.0}, {"temperature": 0.5, "bias": 2.0}]
MEASURE = DISTANCES["cosine"][1]


def loss_of(**arguments: Any) -> SigLIPLoss:
    return SigLIPLoss(**arguments).double()


def naive(
    loss: SigLIPLoss, measure: Measure = MEASURE, reduce: Reduce = reducers.divisor
) -> Callable[[Scenario], Tensor]:
    return pair_loss(siglip, measure, reduce, log_temperature=loss.log_temperature, bias=loss.bias)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, naive(loss), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    loss = loss_of(**parameters)
    check(loss, naive(loss), SCENARIOS[scenario]())


@pytest.mark.parametrize(("distance", "scenario"), ANY_DISTANCE)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours())
    check(loss, naive(loss, measure), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours(), temperature=2.0, bias=-1.0)  # values on both sides of the thresholds
    check(loss, naive(loss, reduce=reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_two_views_give_what_the_pseudocode_of_the_paper_gives() -> None:
    x, y, loss, n = rows(6), rows(6, 1), loss_of(), 6
    images, texts = (torch.nn.functional.normalize(z) for z in (x, y))
    logits = images @ texts.T * loss.log_temperature.exp() + loss.bias
    signs = 2.0 * torch.eye(n, dtype=torch.float64) - 1.0
    want = -torch.nn.functional.logsigmoid(signs * logits).sum() / n
    total = loss(x, torch.arange(n), ref_embeddings=y, ref_labels=torch.arange(n))
    leaves = [x, y, loss.log_temperature, loss.bias]
    for g, w in zip(value_and_gradients(total, leaves), value_and_gradients(want, leaves), strict=True):
        torch.testing.assert_close(g, w)


def test_the_factor_and_the_bias_are_learned_and_start_as_in_the_paper() -> None:
    loss = SigLIPLoss()
    assert {name: float(p.detach()) for name, p in loss.named_parameters()} == pytest.approx(
        {"log_temperature": math.log(10.0), "bias": -10.0}
    )
    half = rows(4).detach().half().requires_grad_()
    loss(half, [0, 0, 1, 1]).backward()
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert parameter.grad != 0


def test_logits_of_any_size_give_a_finite_loss() -> None:
    x = (rows(4, dtype=torch.float32).detach() * 1e4).requires_grad_()
    loss = SigLIPLoss(temperature=1e4, distance=DISTANCES["dot raw"][0]())
    for part in value_and_gradients(loss(x, [0, 0, 1, 1]), [x, *loss.parameters()]):
        assert part.isfinite().all()
