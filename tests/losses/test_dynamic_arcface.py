"""DynamicArcFaceLoss against its loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg.losses import ArcFaceLoss, DynamicArcFaceLoss, SubCenterArcFaceLoss
from tests.oracle import BALANCED, DIM, FEW_PLANS, PROXY_SCENARIOS, REDUCERS, SCENARIOS, check, proxy_loss, rows
from tests.reference.dynamic_arcface import class_margins, dynamic_arcface

COUNTS = [40, 3, 7, 12]


def loss_of(**parameters: Any) -> tuple[DynamicArcFaceLoss, dict[str, Any]]:
    """The loss, and what its loop takes: margins beyond float32, as which they are stored."""
    torch.manual_seed(0)
    counts = parameters.pop("class_counts", COUNTS)
    loss = DynamicArcFaceLoss(class_counts=counts, embedding_size=DIM, **parameters).double()
    loss.margins.mul_(16).round_().div_(16)
    rest = {name: parameters[name] for name in ("scale", "sub_centers") if name in parameters}
    return loss, rest | {"margins": [math.degrees(float(m)) for m in loss.margins]}


@pytest.mark.parametrize("scenario", PROXY_SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    loss, parameters = loss_of()
    check(loss, proxy_loss(dynamic_arcface, loss.proxies, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize(
    "parameters",
    [{"margin_bounds": (90.0, 150.0), "scale": 8.0}, {"sub_centers": 1, "power": 2.0}, {"class_counts": [1, 1, 10, 1]}],
)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any]) -> None:
    loss, rest = loss_of(**parameters)
    check(loss, proxy_loss(dynamic_arcface, loss.proxies, **rest), SCENARIOS["balanced"]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    loss, parameters = loss_of(reducer=ours())
    check(loss, proxy_loss(dynamic_arcface, loss.proxies, reduce, **parameters), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("power", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("bounds", [(2.86, 28.6), (0.0, 180.0), (10.0, 10.0)])
@pytest.mark.parametrize("counts", [COUNTS, [5, 5, 5], [1], [1, 10**9]])
def test_margins_fall_with_the_size_of_the_class_between_their_bounds(
    counts: list[int], bounds: tuple[float, float], power: float
) -> None:
    loss = DynamicArcFaceLoss(counts, DIM, margin_bounds=bounds, power=power)
    want = torch.tensor(class_margins(counts, bounds, power))
    torch.testing.assert_close(loss.margins.rad2deg(), want, rtol=1e-5, atol=1e-5)


def test_classes_of_one_size_and_one_center_are_arcface() -> None:
    torch.manual_seed(0)
    loss, plain = DynamicArcFaceLoss([5] * 4, DIM, sub_centers=1), ArcFaceLoss(4, DIM)
    plain.load_state_dict({"proxies": loss.proxies})
    x = rows(10, dtype=torch.float32)
    torch.testing.assert_close(loss(x, BALANCED), plain(x, BALANCED))


def test_finds_outliers_as_subcenter_arcface_does() -> None:
    loss, plain = loss_of()[0], SubCenterArcFaceLoss(4, DIM).double()
    plain.load_state_dict({"proxies": loss.proxies})
    assert loss.outliers(rows(10), BALANCED).tolist() == plain.outliers(rows(10), BALANCED).tolist()


def test_margins_are_part_of_the_state() -> None:
    loss, other = loss_of()[0], DynamicArcFaceLoss([1, 1, 1, 1], DIM)
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other.margins.double(), loss.margins)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"class_counts": []}, "class_counts"),
        ({"class_counts": [3, 0]}, "class_counts"),
        (
            {"class_counts": [3], "margin_bounds": (30.0, 20.0)},
            "the lower of margin_bounds, 30.0, is above the upper, 20.0",
        ),
        ({"class_counts": [3], "margin_bounds": (30.0, 200.0)}, "margin_bounds"),
    ],
)
def test_refuses_what_gives_no_margins(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DynamicArcFaceLoss(embedding_size=DIM, **parameters)
