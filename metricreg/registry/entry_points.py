"""From installed plugins to a filled registry, one report a plugin. No plugin can break another, or metricreg."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from metricreg.errors import said
from metricreg.registry import lazy
from metricreg.registry.entry import IN_PROCESS, LOCAL_NAMESPACE, NAMESPACE, OWN_DISTRIBUTION, Entry
from metricreg.registry.fault import complaint
from metricreg.registry.hook_calls import entries_of
from metricreg.registry.installed import Plugin, installed_plugins
from metricreg.registry.isolation import isolated, warn
from metricreg.registry.registry import Before, Registry, default_registry
from metricreg.registry.report import PluginReport, Status, require_plugins
from metricreg.registry.selection import Selection


def plugin_reports(registry: Registry | None = None) -> tuple[PluginReport, ...]:
    """One report an installed plugin: its status, components, load time and, if it was left out, why."""
    return (default_registry() if registry is None else registry).reports


def load_entry_points(registry: Registry, *, strict: bool | None = None) -> None:
    """Fill a registry from the entry points of the group `metricreg`, as the environment says.

    Environment:
        METRICREG_BLOCK: namespaces, or `dist:NAME` for distributions, that are not even imported; comma-separated.
        METRICREG_ONLY: the same for the only ones, beside metricreg's own, that are.
        METRICREG_STRICT: set and not 0: a plugin that something is wrong with raises `PluginError`.
    """
    if strict is None:
        strict = os.environ.get("METRICREG_STRICT", "0") not in ("", "0")
    load(registry, installed_plugins(), Selection.from_environment(), strict=strict)


def load_given(
    registry: Registry,
    plugins: Mapping[str, object] | None,
    *,
    only: Iterable[str] | None,
    block: Iterable[str],
    strict: bool,
) -> None:
    """Fill a registry from metricreg's own plugin and those that are given, or all that are installed if None."""
    found = installed_plugins()
    if plugins is not None:
        found = [plugin for plugin in found if plugin.is_own]
        found += [_given(name, loaded) for name, loaded in plugins.items()]
    load(registry, found, Selection.of(block, only), strict=strict)


def _given(name: str, loaded: object) -> Plugin:
    if isinstance(loaded, str):
        return Plugin(name, lambda: importlib.import_module(loaded), loaded, IN_PROCESS, "")
    module = loaded.__name__ if isinstance(loaded, ModuleType) else type(loaded).__module__
    return Plugin(name, lambda: loaded, str(module), IN_PROCESS, "")


def load(
    registry: Registry, plugins: Iterable[Plugin], selection: Selection | None = None, *, strict: bool = False
) -> None:
    """Fill a registry from given plugins, metricreg's own first, and warn about each that something is wrong with.

    The loop is our own: pluggy's `load_setuptools_entrypoints` stops at the first plugin that raises and drops the
    second of two with one name.

    Args:
        registry: what is filled.
        plugins: each is loaded, or reported.
        selection: which are left out.
        strict: raise in the place of warning, when all are loaded.

    Raises:
        PluginError: something is wrong with a plugin, and `strict`.
    """
    selection = selection or Selection()
    ordered = sorted(plugins, key=lambda p: (not p.is_own, p.name, p.distribution))
    claims: dict[str, list[Plugin]] = {}
    for plugin in ordered:
        if selection.why_not(plugin) is None:
            claims.setdefault(plugin.name, []).append(plugin)
    reports = []
    for plugin in ordered:
        reports.append(_load_one(registry, plugin, selection, claims))
        registry.add_report(reports[-1])
    registry.add_notes(selection.unknown(ordered))
    if strict:
        require_plugins(registry)
    for report in reports:
        if not report.ok:
            warn(str(report))
    for note in registry.notes:
        warn(note)


def _load_one(
    registry: Registry, plugin: Plugin, selection: Selection, claims: Mapping[str, list[Plugin]]
) -> PluginReport:
    why_not = selection.why_not(plugin)
    if why_not is not None:
        return _report(plugin, "blocked", why_not, None)
    refusal = _refusal(plugin, claims)
    if refusal is not None:
        return _report(plugin, *refusal)
    start, changed = time.perf_counter(), list[str]()
    before, had_torch = Before(registry), "torch" in sys.modules
    try:
        with isolated(changed):
            loaded = plugin.load()
            entries = entries_of(plugin, loaded)
        undone = before.undo(keep_local=True)
        registry.add(*entries)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything at import, SystemExit included
        problem = complaint(error, plugin.module)
        undone = before.undo(keep_local=False)
        wrong = tuple(_about_changes(changed, undone))
        mend = None
        if plugin.distribution != IN_PROCESS:
            mend = f"pip install -U {plugin.distribution}, or leave it out: METRICREG_BLOCK={plugin.name}"
        seconds = time.perf_counter() - start
        return _report(plugin, "error", problem, mend, seconds=seconds, warnings=wrong, exception=error)
    return _report(
        plugin,
        "active",
        None,
        plugin.mend,
        components=tuple(f"{entry.kind} {entry.name}" for entry in entries),
        seconds=time.perf_counter() - start,
        imports_torch=None if had_torch else "torch" in sys.modules,
        warnings=(*plugin.warnings, *_about_changes(changed, undone), *_about_targets(plugin, entries)),
    )


def _refusal(plugin: Plugin, claims: Mapping[str, list[Plugin]]) -> tuple[Status, str, str | None] | None:
    """Why a plugin is not even imported, and what to do about it; None if it is."""
    name = plugin.name
    if plugin.problem is not None:
        return "error", plugin.problem, f"pip install --force-reinstall {plugin.distribution}"
    if name in (OWN_DISTRIBUTION, LOCAL_NAMESPACE) and not plugin.is_own:
        return "error", f"the namespace '{name}' is reserved", "choose another entry-point name"
    if not NAMESPACE.fullmatch(name):
        return "error", f"the entry-point name '{name}' is no namespace ([a-z][a-z0-9_-]*)", "choose another"
    rivals = [p for p in claims[name] if p is not plugin and not (p.is_own or plugin.is_own)]
    if rivals and all(p.distribution == plugin.distribution for p in rivals):
        targets = " and ".join(p.target for p in claims[name])
        return "conflict", f"its distribution claims the namespace '{name}' twice, as {targets}", "leave one of them"
    if rivals:
        others = " and ".join(f"{p.distribution} {p.version}" for p in rivals)
        block = f"uninstall one, or block it: METRICREG_BLOCK=dist:{rivals[0].distribution}"
        return "conflict", f"{others} claims the namespace '{name}' too", block
    unmet = plugin.unmet_requirement()
    return None if unmet is None else ("incompatible", *unmet)


def _report(plugin: Plugin, status: Status, problem: str | None, mend: str | None, **more: Any) -> PluginReport:
    try:
        spec = lazy.module_spec(plugin.module) if plugin.module else None
        file = said(spec.origin) if spec is not None and spec.origin else None
    except Exception:  # a finder may raise anything
        file = None
    return PluginReport(
        plugin.name, status, plugin.distribution, plugin.version, problem=problem, mend=mend, file=file, **more
    )


def _about_changes(changed: list[str], undone: list[str]) -> list[str]:
    found = [f"it changes {', '.join(changed)} when it is imported, which was put back"] if changed else []
    if undone:
        names = said(", ".join(undone))
        found.append(f"it changes {names} in the registry itself, which was undone; components are what hooks return")
    return found


def _about_targets(plugin: Plugin, entries: list[Entry]) -> list[str]:
    """A sentence about each class that is given as a string and cannot be found."""
    found = []
    for entry in entries if not plugin.is_own else ():
        try:
            lacking = lazy.missing(entry.target) if isinstance(entry.target, str) else None
        except Exception:  # a finder may raise anything; what is wrong is said when the class is needed
            continue
        if lacking is not None:
            found.append(f"{entry.kind} '{entry.name}' is not there: {lacking}")
    return found


__all__ = ["PluginReport", "load", "load_entry_points", "plugin_reports", "require_plugins"]
