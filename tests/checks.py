"""Which components passed which checks: collected while tests run, kept in docs/checks.json, shown on a page.

A test says what it checks with `@pytest.mark.checks("layout", "loss")` and a parameter `name`, which begins with the
component's; or calls `record`. What a failed test recorded does not count. `pytest --record-checks` writes the cells of
the components and checks that ran; all others stay.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metricreg.registry import KINDS, default_registry

FOLDER = Path(__file__).parent.parent / "docs"
FILE = FOLDER / "checks.json"
CHECKS: dict[str, dict[str, str]] = json.loads((FOLDER / "checks-meaning.json").read_text(encoding="utf-8"))
"""Kind → check → what it means: the columns of the page."""
ALIASES = {"dot": "dot_product"}

Key = tuple[str, str, str]
_current: list[tuple[Key, str]] = []
_passed: dict[Key, set[str]] = defaultdict(set)
_failed: set[Key] = set()


def shipped(kind: str) -> list[str]:
    """The names of the components of a kind that metricreg itself ships."""
    return [name for name in default_registry().names(kind) if "/" not in name]


def record(kind: str, name: str, check: str, what: str = "") -> None:
    """Note that a component passes a check, if the test that runs does.

    Args:
        kind: the component's kind.
        name: its registered name.
        check: a column of the page.
        what: with which of several, which the page counts; or a word that it shows, such as `refused`.
    """
    assert check in CHECKS[kind], f"'{check}' is no check of a {kind}"
    _current.append(((kind, name, check), what))


def component_of(kind: str, parameter: str) -> str:
    """The component that a test's parameter is about: `lp p=1` is about `lp`."""
    first = parameter.split()[0]
    name = ALIASES.get(first, first)
    assert name in shipped(kind), f"'{parameter}' begins with no {kind}"
    return name


def _marked(item: pytest.Item) -> Iterator[Key]:
    for marker in item.iter_markers("checks"):
        check, kind = marker.args
        parameters: dict[str, Any] = getattr(item, "callspec").params  # noqa: B009 - only of parametrised tests
        yield kind, component_of(kind, str(parameters[marker.kwargs.get("parameter", "name")])), check


class Recorder:
    """The plugin that collects."""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Start with nothing recorded."""
        _current.clear()
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Iterator[None]:
        """Keep what a test recorded if it passed."""
        outcome: Any = yield
        report = outcome.get_result()
        if report.when != "call" or report.skipped:
            return
        found = [*_current, *((key, "") for key in _marked(item))]
        if report.passed:
            for key, what in found:
                _passed[key].add(what)
        else:
            _failed.update(key for key, _ in found)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the table, if asked to."""
        if session.config.getoption("--record-checks"):
            FILE.write_text(json.dumps(table(read()), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read() -> dict[str, dict[str, dict[str, str]]]:
    """The table as it is kept: kind → component → check → cell."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def table(before: dict[str, dict[str, dict[str, str]]]) -> dict[str, dict[str, dict[str, str]]]:
    """The table with the cells of this run, and with a row for each component that ships and no other."""
    found = {kind: {name: dict(before.get(kind, {}).get(name, {})) for name in shipped(kind)} for kind in KINDS}
    for (kind, name, check), what in _passed.items():
        found[kind][name][check] = _cell(what)
    for kind, name, check in _failed:
        found[kind][name].pop(check, None)
    return found


def _cell(what: set[str]) -> str:
    counted = what - {""}
    if not counted:
        return "yes"
    return next(iter(counted)) if counted <= {"refused", "none there"} else str(len(counted))
