"""From entry points to a filled registry, one report a plugin. No plugin can break another, or metricreg."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import Any, Literal

import pluggy
from packaging.utils import canonicalize_name

from metricreg.errors import PluginError, PluginWarning
from metricreg.registry import hookspecs
from metricreg.registry.former_names import check_former_names, check_one_name_each
from metricreg.registry.registry import (
    KINDS,
    LOCAL_NAMESPACE,
    NAME,
    NAMESPACE,
    OWN_DISTRIBUTION,
    Entry,
    Registry,
    default_registry,
    set_default_loader,
)

GROUP = "metricreg"

Status = Literal["active", "blocked", "incompatible", "conflict", "error"]


@dataclass(frozen=True)
class PluginReport:
    """What became of one entry point.

    Args:
        name: the entry point's name, which is the plugin's namespace.
        status: `active`; `blocked` by METRICREG_BLOCK; `incompatible` with this metricreg; in `conflict` with another
            distribution over the namespace; or `error`.
        distribution: the distribution that declares the entry point.
        version: its version.
        components: what it registered, as `kind name`.
        seconds: how long importing and asking it took.
        problem: why it is not active, in a sentence; None if it is.
        exception: the exception behind `problem`, if there was one.
    """

    name: str
    status: Status
    distribution: str
    version: str
    components: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str | None = None
    exception: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"plugin '{self.name}' of {self.distribution} {self.version} is left out ({self.status}): {self.problem}"


def plugin_reports(registry: Registry | None = None) -> tuple[PluginReport, ...]:
    """One report an installed plugin: its status, components, load time and, if it was left out, why."""
    return (default_registry() if registry is None else registry).reports


def require_plugins(registry: Registry) -> None:
    """Raise `PluginError` if any plugin that is not blocked was left out."""
    for report in registry.reports:
        if report.status not in ("active", "blocked"):
            raise PluginError(str(report)) from report.exception


def load_entry_points(registry: Registry) -> None:
    """Fill a registry from the entry points of the group `metricreg`.

    The loop is our own: pluggy's `load_setuptools_entrypoints` stops at the first plugin that raises and drops the
    second of two with one name.
    """
    load(registry, _installed())


def _installed() -> list[EntryPoint]:
    try:
        return list(entry_points(group=GROUP))
    except Exception:  # one distribution, perhaps of something else, has a list that cannot be read
        pass
    found: dict[tuple[str, str], EntryPoint] = {}
    for distribution in distributions():
        try:
            for point in distribution.entry_points.select(group=GROUP):
                found.setdefault((point.name, point.value), point)
        except Exception as error:  # noqa: PERF203 - each for itself
            at = getattr(distribution, "_path", distribution)
            message = f"the entry points of {at} cannot be read: {type(error).__name__}: {error}"
            warnings.warn(PluginWarning(message), stacklevel=2)
    return list(found.values())


def load(registry: Registry, points: Iterable[EntryPoint]) -> None:
    """Fill a registry from given entry points, metricreg's own first.

    Environment:
        METRICREG_BLOCK: namespaces, or `dist:NAME` for distributions, that are not even imported; comma-separated.
        METRICREG_STRICT: set and not 0: a plugin that cannot be used raises `PluginError` at once.
    """
    strict = os.environ.get("METRICREG_STRICT", "0") not in ("", "0")
    blocked = {word.strip() for word in os.environ.get("METRICREG_BLOCK", "").split(",")} - {""}
    blocked = {f"dist:{canonicalize_name(w[5:])}" if w.startswith("dist:") else w for w in blocked}
    sources = sorted((_Source(point) for point in points), key=lambda s: (not s.is_own, s.point.name, s.distribution))
    claims: dict[str, list[_Source]] = {}
    for source in sources:
        if not source.is_blocked(blocked):
            claims.setdefault(source.point.name, []).append(source)
    for source in sources:
        report = _load_one(registry, source, blocked, claims)
        registry.add_report(report)
        if report.status in ("active", "blocked"):
            continue
        if strict:
            raise PluginError(str(report)) from report.exception
        warnings.warn(PluginWarning(str(report)), stacklevel=2)


class _Source:
    """An entry point and the distribution it comes from, whose metadata may be damaged."""

    def __init__(self, point: EntryPoint) -> None:
        self.point = point
        dist: Distribution | None = point.dist
        self.problem: str | None = None
        self.requires: list[str] = []
        self.distribution, self.version = "(unknown distribution)", "(unknown version)"
        try:
            if dist is not None:
                metadata: Any = dist.metadata
                self.distribution = metadata.get("Name") or self.distribution
                self.version = metadata.get("Version") or self.version
                self.requires = list(dist.requires or [])
        except Exception as error:
            self.problem = f"its metadata cannot be read: {type(error).__name__}: {error}"

    @property
    def is_own(self) -> bool:
        return self.point.name == OWN_DISTRIBUTION and canonicalize_name(self.distribution) == OWN_DISTRIBUTION

    def is_blocked(self, blocked: set[str]) -> bool:
        return bool(blocked & {self.point.name, f"dist:{canonicalize_name(self.distribution)}"})

    def report(self, status: Status, problem: str | None = None, **more: Any) -> PluginReport:
        return PluginReport(self.point.name, status, self.distribution, self.version, problem=problem, **more)

    def unmet_requirement(self) -> str | None:
        """The requirement on metricreg that the running version does not meet."""
        if self.is_own:
            return None
        from packaging.requirements import Requirement  # half of what importing this module would cost
        from packaging.version import Version

        running = Version(_own_version())
        for text in self.requires:
            try:
                requirement = Requirement(text)
                if canonicalize_name(requirement.name) != OWN_DISTRIBUTION:
                    continue
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                    continue
            except ValueError:  # not a requirement, or a marker that means nothing here
                continue
            versions = {running, Version(running.base_version)} if running.is_devrelease else {running}
            if not any(requirement.specifier.contains(v, prereleases=True) for v in versions):
                return f"it requires {requirement}, and metricreg {running} is running"
        return None


def _own_version() -> str:
    from importlib.metadata import version

    return version(OWN_DISTRIBUTION)


def _load_one(
    registry: Registry, source: _Source, blocked: set[str], claims: Mapping[str, list[_Source]]
) -> PluginReport:
    name = source.point.name
    if source.is_blocked(blocked):
        return source.report("blocked", "blocked by METRICREG_BLOCK")
    if source.problem is not None:
        return source.report("error", source.problem)
    if name in (OWN_DISTRIBUTION, LOCAL_NAMESPACE) and not source.is_own:
        return source.report("error", f"the namespace '{name}' is reserved; choose another entry-point name")
    if not NAMESPACE.fullmatch(name):
        return source.report("error", f"the entry-point name '{name}' is no namespace ([a-z][a-z0-9_-]*)")
    rivals = [s for s in claims[name] if s is not source and not (s.is_own or source.is_own)]
    if rivals:
        others = " and ".join(f"{s.distribution} {s.version}" for s in rivals)
        return source.report(
            "conflict",
            f"{others} claims the namespace '{name}' too; uninstall one, or block it: "
            f"METRICREG_BLOCK=dist:{rivals[0].distribution}",
        )
    unmet = source.unmet_requirement()
    if unmet is not None:
        return source.report("incompatible", unmet)
    start = time.perf_counter()
    try:
        entries = _ask(source)
        registry.add(*entries)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything at import, SystemExit included
        problem = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        return source.report("error", problem, seconds=time.perf_counter() - start, exception=error)
    components = tuple(f"{entry.kind} {entry.name}" for entry in entries)
    return source.report("active", components=components, seconds=time.perf_counter() - start)


def _ask(source: _Source) -> list[Entry]:
    """Import a plugin and call its hooks, in a plugin manager of its own; everything is checked before any is kept."""
    plugin = source.point.load()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name=source.point.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{error}; the hooks are {', '.join(hookspecs.HOOKS.values())}") from error
    entries = []
    for kind in KINDS:
        hook = hookspecs.HOOKS[kind]
        for components in getattr(manager.hook, hook)():
            if not isinstance(components, Mapping):
                raise PluginError(
                    f"{hook} returned {type(components).__name__}; expected a mapping of names to classes"
                )
            entries += [_entry(source, kind, hook, name, target) for name, target in components.items()]
    if not entries:
        raise PluginError(
            f"it registers nothing: none of {', '.join(hookspecs.HOOKS.values())}, marked with @metricreg.hookimpl, "
            "returned a component"
        )
    check_one_name_each(entries)
    check_former_names(entries)
    return entries


def _entry(source: _Source, kind: str, hook: str, name: object, target: object) -> Entry:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PluginError(f"{hook} names a component {name!r}; a name is [a-z][a-z0-9_]*")
    if not isinstance(target, str | type):
        raise PluginError(f"{hook} maps '{name}' to {target!r}; expected a class or 'package.module:Class'")
    if isinstance(target, type):
        check = getattr(target, "check_declaration", None)
        if check is None:
            raise PluginError(f"{hook} maps '{name}' to {target!r}, which is not a metricreg component")
        check(kind)
    full = name if source.is_own else f"{source.point.name}/{name}"
    return Entry(kind, full, target, source.distribution)


set_default_loader(load_entry_points)
