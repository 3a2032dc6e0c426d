"""The conformance kit: whether a component does what every component has to do.

Ask it with `check_component(MyLoss)`, or in a test with `parametrize_with_checks([MyLoss, MyReducer])`; it finds inputs
that the component takes, and tries every promise on them. It must not know a component by its name, and of pytest, of
which the core does not depend, only in `parametrize` and in `pytest_plugin`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricreg.testing.check import Check as Check
    from metricreg.testing.check import CheckError as CheckError
    from metricreg.testing.check import Outcome as Outcome
    from metricreg.testing.component import check_component as check_component
    from metricreg.testing.component import checks_of as checks_of
    from metricreg.testing.example import Example as Example
    from metricreg.testing.parametrize import parametrize_with_checks as parametrize_with_checks

_HOME = {
    "Check": "check",
    "CheckError": "check",
    "Example": "example",
    "Outcome": "check",
    "check_component": "component",
    "checks_of": "component",
    "parametrize_with_checks": "parametrize",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: pytest imports its plugin, which stands here, in every run."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
