"""`pytest --metricreg-plugin acme` checks every component of an installed plugin, with no test written.

pytest imports this in every run. So it imports neither torch nor what needs it, unless the option is given.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metricreg.errors import MetricregError
from metricreg.registry import KINDS, OWN_DISTRIBUTION, default_registry

OPTION = "--metricreg-plugin"
INI = "metricreg_expected_failures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, and the setting that goes with it."""
    group = parser.getgroup("metricreg", "metricreg, the conformance kit")
    group.addoption(
        OPTION,
        dest="metricreg_plugins",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="check every component that the installed plugin of this namespace registers; may be given several times",
    )
    parser.addini(
        INI, type="linelist", help=f"of {OPTION}, lines `KIND NAME CHECK: reason`: checks that are expected to fail"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a plugin that is not there, with the reason."""
    for namespace in config.getoption("metricreg_plugins"):
        if not _components(namespace):
            raise pytest.UsageError(f"{OPTION} {namespace}: {_why_not(namespace)}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks to the tests that were collected."""
    for namespace in dict.fromkeys(config.getoption("metricreg_plugins")):
        collector = PluginChecks.from_parent(session, name=namespace, nodeid=f"metricreg:{namespace}")
        items += collector.collect()


class PluginChecks(pytest.Collector):
    """The checks of all components of a plugin."""

    def collect(self) -> list[pytest.Item]:
        """An item a component and check."""
        reasons = _expected(self.config)
        made: list[pytest.Item] = []
        for kind, name in _components(self.name):
            for check, run, path in _checks(kind, name):
                item = CheckItem.from_parent(self, name=f"{kind} {name}::{check}", run=run, source=path)
                reason = reasons.get((kind, name, check))
                if reason is not None:
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
                made.append(item)
        return made


class CheckItem(pytest.Item):
    """One check of one component.

    Args:
        run: makes it.
        source: the file of the component.
    """

    def __init__(self, *, run: Callable[[], None], source: Path, **given: Any) -> None:
        super().__init__(**given)
        self.run, self.source = run, source

    def runtest(self) -> None:
        """Make the check."""
        self.run()

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """What was found, and where the component raised, if it did."""
        error = excinfo.value
        if not isinstance(error, MetricregError):
            return super().repr_failure(excinfo, style)
        raised = [] if error.__cause__ is None else traceback.format_exception(error.__cause__)
        return "".join([f"{error}\n", *raised])

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file of the component, and which check of it."""
        return self.source, None, self.name


def _components(namespace: str) -> list[tuple[str, str]]:
    """Kind and name of what a plugin registered; of metricreg itself, what has no namespace."""
    registry = default_registry()
    named = [(kind, name) for kind in KINDS for name in registry.names(kind)]
    return [(kind, name) for kind, name in named if _namespace(name) == namespace]


def _namespace(name: str) -> str:
    return name.partition("/")[0] if "/" in name else OWN_DISTRIBUTION


def _why_not(namespace: str) -> str:
    reports = [report for report in default_registry().reports if namespace in (report.name, report.distribution)]
    active = [report.name for report in default_registry().reports if report.status == "active"]
    for report in reports:
        if report.problem is not None:
            return str(report)
        if report.name != namespace:
            return f"this is a distribution; the namespace of its plugin is '{report.name}'"
    return f"no plugin of this namespace has components; those that are active: {', '.join(active) or 'none'}"


def _checks(kind: str, name: str) -> Iterator[tuple[str, Callable[[], None], Path]]:
    from metricreg.testing.component import checks_of
    from metricreg.testing.example import Example
    from metricreg.testing.parametrize import PytestCheck

    try:
        cls = default_registry().get(kind, name)
        example = Example(cls, name=f"{kind} '{name}'")
    except MetricregError as error:
        problem = error

        def refuse() -> None:
            raise problem

        yield "can_be_registered", refuse, Path(name)
        return
    source = Path(inspect.getsourcefile(cls) or name)
    for check in checks_of(kind):
        yield check.name, partial(PytestCheck(**vars(check)), example), source


def _expected(config: pytest.Config) -> dict[tuple[str, str, str], str]:
    """Kind, name and check → why it is expected to fail."""
    from metricreg.testing.checks import CHECKS

    found = {}
    for line in config.getini(INI):
        place, _, reason = line.partition(":")
        kind, name, check = [*place.split(), "", "", ""][:3]
        if kind not in KINDS or check not in CHECKS or not reason.strip():
            raise pytest.UsageError(f"{INI} has '{line}'; a line is `KIND NAME CHECK: reason`, with a check of the kit")
        if not default_registry().has(kind, name):
            raise pytest.UsageError(f"{INI} has '{line}', and no {kind} is called '{name}'")
        found[kind, name, check] = reason.strip()
    return found
