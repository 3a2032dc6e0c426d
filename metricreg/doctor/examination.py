"""Everything that can be found out about the installed plugins, one after the other."""

from __future__ import annotations

import os
import shlex
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from metricreg.components.component import create
from metricreg.doctor.alone import Alone, load_alone
from metricreg.errors import SHOWN, printable, said
from metricreg.registry import OWN_DISTRIBUTION, Registry
from metricreg.registry.fault import complaint
from metricreg.registry.isolation import isolated
from metricreg.registry.report import PluginReport
from metricreg.spec.describe import describe
from metricreg.spec.spec import validate

SLOW = 1.0
"""Seconds of loading from which on it is said how to load faster."""
MOST_LINES = 200


@dataclass(frozen=True)
class ExaminedComponent:
    """A component, imported and built of its example.

    Args:
        kind: one of the six kinds.
        name: the registered name.
        path: `package.module:Class`.
        problem: why it cannot be imported, described or built; None if it can.
        exception: the exception behind that.
        advice: what is not wrong, and could be better.
    """

    kind: str
    name: str
    path: str
    problem: str | None = None
    exception: BaseException | None = None
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExaminedPlugin:
    """A plugin, and all that is wrong with it.

    Args:
        report: what became of it when it was loaded.
        alone: what loading it takes where torch is not yet imported; None if it does not load.
        components: each that it registered.
        advice: what is not wrong, and could be better.
        mend: commands, or words where there is none, that mend what is wrong.
    """

    report: PluginReport
    alone: Alone | None
    components: tuple[ExaminedComponent, ...]
    advice: tuple[str, ...]
    mend: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.report.ok and not any(component.problem for component in self.components)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, a sentence each."""
        broken = [c for c in self.components if c.problem]
        told = tuple(f"{c.kind} '{c.name}' " for c in broken)  # the report may have said less of it
        of_plugin = [self.report.problem, *(w for w in self.report.warnings if not w.startswith(told))]
        return (*filter(None, of_plugin), *(c.problem for c in broken if c.problem))

    @property
    def exceptions(self) -> tuple[BaseException, ...]:
        """What was raised."""
        found = (self.report.exception, *(component.exception for component in self.components))
        return tuple(each for each in found if each is not None)


def examine(registry: Registry) -> Iterator[ExaminedPlugin]:
    """Examine every plugin that a registry has a report of."""
    unknown = [r for r in registry.reports if r.status == "active" and r.imports_torch is None]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        alone = dict(
            zip(map(id, unknown), pool.map(lambda r: load_alone(r.name, r.distribution), unknown), strict=True)
        )
    for report in registry.reports:
        loaded = alone.get(id(report))
        if report.imports_torch is not None:
            loaded = Alone(report.seconds, report.imports_torch)
        named = (component.split(" ", 1) for component in report.components)
        components = tuple(_component(registry, kind, name) for kind, name in named)
        advice = (*_advice(loaded), *(text for component in components for text in component.advice))
        yield ExaminedPlugin(report, loaded, components, advice, _mend(report, components))


def _component(registry: Registry, kind: str, name: str) -> ExaminedComponent:
    path, changed = said(registry.entry(kind, name).path), list[str]()
    problem: str | None
    try:
        with isolated(changed):
            example = describe(kind, name, registry).example
            given = {} if isinstance(example, str) else {key: v for key, v in example.items() if key != "name"}
            create(kind, name, registry=registry, **given)
            unchecked = validate({"loss": example}, registry=registry).unchecked if kind == "loss" else ()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything
        problem = complaint(error, path.partition(":")[0])
        problem = problem if name in problem else f"{kind} '{name}': {problem}"
        return ExaminedComponent(kind, name, path, problem, error)
    problem = f"building {kind} '{name}' changes {', '.join(changed)}, which was put back" if changed else None
    return ExaminedComponent(
        kind, name, path, problem, advice=tuple(f"{kind} '{name}': {u.message}" for u in unchecked)
    )


def _advice(alone: Alone | None) -> tuple[str, ...]:
    if alone is None or not (alone.imports_torch or alone.seconds > SLOW):
        return ()
    what = "torch is imported" if alone.imports_torch else f"loading takes {alone.seconds:.1f} s"
    return (f"{what} whenever names are looked at; a hook may give classes as 'package.module:Class'",)


def _mend(report: PluginReport, components: tuple[ExaminedComponent, ...]) -> tuple[str, ...]:
    broken = any(component.problem for component in components)
    if report.ok and not broken:
        return ()
    found = _unmet(report.distribution) if report.status in ("active", "error") else []
    if report.mend is not None:
        found.append(report.mend)
    elif not found:
        found.append(f"pip install -U {report.distribution}")
    return tuple(found)


def _unmet(distribution: str) -> list[str]:
    """How to install what a distribution requires and does not have."""
    if distribution == OWN_DISTRIBUTION:
        return []
    try:
        needed = requires(distribution) or []
    except Exception:  # not installed, or damaged
        return []
    return [f"pip install {shlex.quote(said(text))}" for text in needed if _is_unmet(text)]


def _is_unmet(text: str) -> bool:
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return False
        return not requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return True
    except (InvalidRequirement, InvalidVersion, ValueError, TypeError):  # not to be read
        return False


def traceback_of(error: BaseException) -> list[str]:
    """The traceback of an exception as lines that are cut, and have no control characters."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # an exception may do anything when it is shown
        return [said(type(error).__name__)]
    return [printable(line[: 3 * SHOWN]) for line in text.splitlines()[-MOST_LINES:]]
