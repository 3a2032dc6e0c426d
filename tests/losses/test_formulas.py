"""Every loss against its loop, in value and gradient, dense and in tiles; the cases are in tests/losses/cases.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from metricreg import distances as D
from metricreg import losses as L
from tests.losses.cases import CASES, Naive, Parameters
from tests.oracle import DISTANCES, FEW_PLANS, PLANS, REDUCERS, SCENARIOS, VIEWS, check, pair_loss, row_loss
from tests.reference import reducers
from tests.reference.distances import dot_product_measure, lp_measure
from tests.reference.pair_losses import histogram
from tests.reference.rank_losses import fast_ap

Row = tuple[str, Parameters, str | None, str | None, str]
"""Loss, parameters, distance and reducer where others than its own, scenario."""


def agrees(name: str, parameters: Parameters, distance: str | None, reducer: str | None, scenario: str) -> None:
    case, slots = CASES[name], {}
    measure, reduce = DISTANCES[case.measure][1], case.reduce
    if distance is not None:
        ours, measure = DISTANCES[distance]
        slots["distance"] = ours()
    if reducer is not None:
        slots["reducer"] = REDUCERS[reducer][0]()
        reduce = REDUCERS[reducer][1]
    loss = case.make(**parameters, **slots).double()
    naive = case.loop(loss, measure, reduce, **parameters)
    plans = FEW_PLANS if slots or parameters != case.given else PLANS
    check(loss, naive, (SCENARIOS | VIEWS)[scenario](), case.tolerance, plans)


def table(rows: list[Row]) -> Any:
    """A test of each row, whose name has what is special about it."""

    def shown(row: Row) -> str:
        name, parameters, distance, reducer, scenario = row
        own = "" if distance or reducer else " ".join(f"{key}={value}" for key, value in parameters.items())
        return "-".join(part for part in (name, own, distance, reducer, scenario) if part)

    return pytest.mark.parametrize("row", rows, ids=[shown(row) for row in rows])


@table([(name, case.given, None, None, scenario) for name, case in CASES.items() for scenario in case.scenarios])
def test_a_loss_agrees_with_its_formula_in_every_scenario(row: Row) -> None:
    agrees(*row)


@table(
    [
        (name, parameters, None, None, scenario)
        for name, case in CASES.items()
        for parameters in case.parameters
        for scenario in case.parameter_scenarios
    ]
)
def test_a_loss_agrees_with_its_formula_for_other_parameters(row: Row) -> None:
    agrees(*row)


@table(
    [
        (name, case.given if case.at_distances is None else case.at_distances, distance, None, scenario)
        for name, case in CASES.items()
        for distance, scenario in case.distances
    ]
)
def test_a_loss_agrees_with_its_formula_in_every_distance(row: Row) -> None:
    agrees(*row)


def in_turn(scenarios: Sequence[str], turn: int) -> list[str]:
    return [scenarios[turn % len(scenarios)]] if scenarios else []


@table(
    [
        (name, case.with_reducers, None, reducer, scenario)
        for first, (name, case) in enumerate(CASES.items())
        for turn, reducer in enumerate(REDUCERS, first)
        for scenario in in_turn(case.reducer_scenarios, turn)
    ]
)
def test_a_loss_agrees_with_its_formula_with_every_reducer(row: Row) -> None:
    agrees(*row)


def of_histogram(power: float) -> tuple[L.HistogramLoss, Naive]:
    loss = L.HistogramLoss(7, distance=D.DotProductSimilarity(power=power))
    return loss, pair_loss(histogram, dot_product_measure(power=power), reducers.mean, n_bins=7)


def of_fast_ap(power: float) -> tuple[L.FastAPLoss, Naive]:
    measure = lp_measure(power=power)  # of ten bins one would begin at 1, the distance of a zero row from all others
    return L.FastAPLoss(7, distance=D.LpDistance(power=power)), row_loss(
        fast_ap, measure, reducers.mean, num_bins=7, largest=2**power
    )


@pytest.mark.parametrize("scenario", ["balanced", "references", "duplicate and zero rows"])
@pytest.mark.parametrize(
    ("loss", "naive"), [of_histogram(1.0), of_histogram(2.0), of_fast_ap(1.0), of_fast_ap(0.5), of_fast_ap(3.0)]
)
def test_bins_fit_the_range_of_any_power_of_a_distance(loss: Any, naive: Naive, scenario: str) -> None:
    check(loss, naive, SCENARIOS[scenario](), plans=FEW_PLANS)
