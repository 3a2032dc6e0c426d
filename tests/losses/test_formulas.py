"""Every loss against its loop, in value and gradient, dense and in tiles; the cases are in tests/losses/cases.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.losses.cases import CASES, Parameters
from tests.oracle import DISTANCES, FEW_PLANS, PLANS, REDUCERS, SCENARIOS, VIEWS, check

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
        reduce = reduce if case.has_own_reduction else REDUCERS[reducer][1]
    loss = case.make(**parameters, **slots).double()
    naive = case.loop(loss, measure, reduce, **parameters)
    plans = FEW_PLANS if slots else PLANS
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


@table(
    [
        (name, case.with_reducers, None, reducer, scenario)
        for name, case in CASES.items()
        for reducer in REDUCERS
        for scenario in case.reducer_scenarios
    ]
)
def test_a_loss_agrees_with_its_formula_with_every_reducer(row: Row) -> None:
    agrees(*row)
