"""VICRegLoss against its loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import SpecError
from metricreg.distances import LpDistance
from metricreg.losses import VICRegLoss
from metricreg.reducers import SumReducer
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, VIEWS, Reduce, Scenario, check, rows
from tests.reference import reducers
from tests.reference.vicreg import vicreg

PARAMETERS: list[dict[str, Any]] = [
    {"invariance_lambda": 2.0, "variance_mu": 0.5, "covariance_v": 7.0, "eps": 0.1},
    {"variance_mu": 0.0, "covariance_v": 0.0},
    {"invariance_lambda": 0.0, "covariance_v": 0.0},
    {"invariance_lambda": 0.0, "variance_mu": 0.0},
]


def naive(reduce: Reduce = reducers.mean, **parameters: Any) -> Callable[[Scenario], Tensor]:
    def of(scenario: Scenario) -> Tensor:
        values, others = vicreg(scenario.x, scenario.references, **parameters)
        return reduce(values, scenario.anchors) + others

    return of


@pytest.mark.parametrize("scenario", VIEWS)
def test_agrees_with_the_formula_for_every_pair_of_views(scenario: str) -> None:
    check(VICRegLoss(), naive(), VIEWS[scenario]())


@pytest.mark.parametrize("scenario", ["two views", "features that do not vary"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(VICRegLoss(**parameters), naive(**parameters), VIEWS[scenario]())


@pytest.mark.parametrize("scenario", ["two views", "two views of one"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_a_reducer_sees_the_distances_of_the_two_views(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss = VICRegLoss(invariance_lambda=0.3, reducer=ours())  # values on both sides of the thresholds
    check(loss, naive(reduce, invariance_lambda=0.3), VIEWS[scenario](), plans=FEW_PLANS)


def test_the_parts_have_names() -> None:
    x, y = rows(4), rows(4, 1)
    from metricreg import Batch

    terms = VICRegLoss().all_terms(Batch.of(x, ref_embeddings=y))
    assert list(terms) == ["invariance_loss", "variance_loss1", "variance_loss2", "covariance_loss"]


def test_the_second_derivative_is_that_of_finite_differences() -> None:
    x, y, loss = rows(4, 5), rows(4, 6), VICRegLoss()
    assert torch.autograd.gradgradcheck(lambda a, b: loss(a, ref_embeddings=b), (x, y))


@pytest.mark.parametrize("distance", DISTANCES)
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match=r"VICRegLoss (works with LpDistance|is about squared distances)"):
        VICRegLoss(distance=DISTANCES[distance][0]())


def test_the_distance_it_is_about_may_be_named() -> None:
    x, y = rows(4), rows(4, 1)
    named = VICRegLoss(distance=LpDistance(power=2, normalize=False), reducer=SumReducer(), invariance_lambda=5.0)
    only = named(x, ref_embeddings=y) - VICRegLoss(invariance_lambda=0.0)(x, ref_embeddings=y)
    torch.testing.assert_close(only, named.distance.pairwise(x, y).sum())  # as 5 is both the factor and D
