"""ProxyAnchorLoss against its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg.losses import ProxyAnchorLoss
from metricreg.regularizers import RegularFaceRegularizer
from tests.oracle import DIM, DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, Reduce, Scenario, check, reduced
from tests.reference.distances import Measure
from tests.reference.proxy_anchor import proxy_anchor
from tests.reference.reducers import Anchors, divisor
from tests.reference.selection import occurrence_weights

COSINE = DISTANCES["cosine"][1]
PROXY_SCENARIOS = [name for name in SCENARIOS if "references" not in name]


def loss_of(**parameters: Any) -> ProxyAnchorLoss:
    torch.manual_seed(0)
    return ProxyAnchorLoss(num_classes=4, embedding_size=DIM, **parameters).double()


def formula(
    loss: ProxyAnchorLoss, reduce: Reduce = divisor, measure: Measure = COSINE, **parameters: Any
) -> Callable[[Scenario], Tensor]:
    def naive(scenario: Scenario) -> Tensor:
        labels: Sequence[int] = scenario.labels.tolist()
        weights = occurrence_weights(len(labels), scenario.tuples)
        terms = proxy_anchor(measure, scenario.x, loss.proxies, labels, weights, **parameters)
        return reduced(terms, reduce, Anchors(loss.num_classes, range(loss.num_classes)))

    return naive


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss = loss_of()
    check(loss, formula(loss), SCENARIOS[scenario]())


@pytest.mark.parametrize("parameters", [{"margin": -0.2, "alpha": 10.0}, {"margin": 0.5}])
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, float]) -> None:
    loss = loss_of(**parameters)
    check(loss, formula(loss, **parameters), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = loss_of(reducer=ours())
    check(loss, formula(loss, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "duplicate and zero rows"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_works_with_every_distance(distance: str, scenario: str) -> None:
    if (distance, scenario) == ("snr", "duplicate and zero rows"):
        pytest.skip("a zero row has no SNR")
    ours, measure = DISTANCES[distance]
    loss = loss_of(distance=ours(), alpha=8.0)
    check(loss, formula(loss, measure=measure, alpha=8.0), SCENARIOS[scenario](), plans=FEW_PLANS)


def test_a_penalty_on_the_proxies_is_added_with_its_weight() -> None:
    regularizer = RegularFaceRegularizer()
    loss = loss_of(weight_regularizer=regularizer, weight_reg_weight=0.25)
    plain = formula(loss)
    check(loss, lambda s: plain(s) + 0.25 * regularizer(loss.proxies), SCENARIOS["balanced"]())
