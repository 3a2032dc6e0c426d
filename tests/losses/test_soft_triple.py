"""SoftTripleLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.losses import SoftTripleLoss
from metricreg.losses.soft_triple import _OfClasses
from tests.oracle import (
    DIM,
    DISTANCES,
    FEW_PLANS,
    PROXY_SCENARIOS,
    REDUCERS,
    SCENARIOS,
    assert_close,
    check,
    proxy_loss,
    rows,
    value_and_gradients,
)
from tests.reference.soft_triple import soft_triple


def loss_of(**parameters: Any) -> SoftTripleLoss:
    torch.manual_seed(0)
    return SoftTripleLoss(num_classes=4, embedding_size=DIM, **parameters).double()


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, proxy_loss(soft_triple, loss.proxies), SCENARIOS[scenario]())


@pytest.mark.parametrize(
    "parameters", [{"centers_per_class": 1, "margin": 0.2}, {"centers_per_class": 3, "la": 5.0, "gamma": 1.0}]
)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss = loss_of(**parameters)
    check(loss, proxy_loss(soft_triple, loss.proxies, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, proxy_loss(soft_triple, loss.proxies, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "duplicate and zero rows"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    if (distance, scenario) == ("snr", "duplicate and zero rows"):
        pytest.skip("a zero row has no SNR")
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours(), la=4.0, gamma=0.5, centers_per_class=3)
    check(
        loss,
        proxy_loss(soft_triple, loss.proxies, measure=measure, la=4.0, gamma=0.5, centers_per_class=3),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


@pytest.mark.parametrize("gamma", [1e-4, 1e-8, 1e-20])
def test_a_small_gamma_takes_the_nearest_center_and_loses_no_precision(gamma: float) -> None:
    loss, x, labels = loss_of(gamma=gamma).float(), rows(9).float(), torch.arange(9) % 4
    parts = []
    for dtype in (torch.float32, torch.float64):
        given = x.detach().to(dtype).requires_grad_()
        parts.append(value_and_gradients(loss.to(dtype)(given, labels), [given]))
    assert_close([part.double() for part in parts[0]], parts[1], 1e-5)


def test_what_it_remembers_for_the_gradient_is_given_back() -> None:
    values = rows(4).detach().repeat(1, 3)[:, :12].requires_grad_()
    function = _OfClasses(4, 3, 0.1, 20.0, 1.0)
    total = function(values).sum()
    assert function._found
    first = torch.autograd.grad(total, values, retain_graph=True)[0]
    assert not function._found
    assert torch.equal(torch.autograd.grad(total, values)[0], first)
