"""All checks of one component."""

from __future__ import annotations

from typing import Any

from metricreg.components.component import Component
from metricreg.testing.check import Check, CheckError, Outcome
from metricreg.testing.checks import CHECKS
from metricreg.testing.example import Example


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks that are made of components of a kind, in their order."""
    return tuple(check for check in CHECKS.values() if kind in check.kinds)


def check_component(cls: type[Component] | Component, /, **parameters: Any) -> tuple[Outcome, ...]:
    """Try everything that a component of its kind promises.

    Args:
        cls: a component's class, or an instance, of which copies are looked at.
        parameters: arguments of the class: values, instances, or names and specs of components. Those that are required
            and not given are chosen from the hints.

    Returns:
        What came of each check: those that did not fail were passed, or skipped for a reason.

    Raises:
        CheckError: what failed, all of it.
    """
    example = Example(cls, parameters)
    outcomes = tuple(check.outcome(example) for check in checks_of(example.kind))
    failed = {found.check: found for found in outcomes if found.status == "failed"}
    if failed:
        causes = (found.error for found in failed.values() if found.error is not None)
        failures = {name: found.reason for name, found in failed.items()}
        raise CheckError(repr(example), failures) from next(causes, None)
    return outcomes
