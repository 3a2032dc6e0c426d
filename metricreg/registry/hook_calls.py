"""The hooks of one plugin, called: what it registers, checked before any of it is kept."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from inspect import isroutine
from typing import Any

import pluggy

from metricreg.errors import SHOWN, PluginError, RegistrationError, said
from metricreg.registry import hookspecs
from metricreg.registry.entry import NAME, Entry, check_class
from metricreg.registry.fault import definition, fault
from metricreg.registry.former_names import check_former_names, check_one_name_each
from metricreg.registry.hookspecs import HOOKS
from metricreg.registry.installed import Plugin

MARKED = "marked with @metricreg.hookimpl"


def entries_of(plugin: Plugin, loaded: object) -> list[Entry]:
    """Call the hooks of a plugin, in a plugin manager of its own.

    Args:
        plugin: where it comes from.
        loaded: the module or object that has the hooks.

    Raises:
        PluginError: a hook raised, is not marked, or returned what cannot be registered.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(loaded, name=plugin.name)
    except pluggy.PluginValidationError as error:  # a hook that takes arguments
        raise PluginError(said(" ".join(str(error).split()))) from error
    marked = {caller.name for caller in manager.get_hookcallers(loaded) or ()}
    for name in sorted(marked - set(HOOKS.values())):
        at = definition(getattr(loaded, name))
        raise PluginError(f"{name} is no hook; the hooks are {', '.join(HOOKS.values())}{at}")
    _refuse_unmarked(loaded, marked)
    entries: list[Entry] = []
    for kind, hook in HOOKS.items():
        at = definition(getattr(loaded, hook, None))
        components = _called(plugin, getattr(manager.hook, hook), hook, at)
        try:
            entries += [_entry(plugin, kind, hook, name, target) for name, target in components]
        except (PluginError, RegistrationError) as error:
            raise PluginError(f"{said(error, 10 * SHOWN)}{at}") from error
    if not entries:
        raise PluginError(f"it registers nothing: none of {', '.join(HOOKS.values())}, {MARKED}, returned a component")
    check_one_name_each(entries)
    check_former_names(entries)
    return entries


def _refuse_unmarked(loaded: object, marked: set[str]) -> None:
    """Refuse a function that is named like a hook, or nearly so, and that pluggy passes over."""
    prefix = hookspecs.PREFIX
    for name in dir(loaded):
        if not name.startswith(prefix) or name in marked or not isroutine(getattr(loaded, name, None)):
            continue
        close = difflib.get_close_matches(
            name.removeprefix(prefix), [hook.removeprefix(prefix) for hook in HOOKS.values()], 1, 0.75
        )
        if close:
            at = definition(getattr(loaded, name))
            hint = "" if name == prefix + close[0] else f", and named {prefix}{close[0]}"
            raise PluginError(f"{name} is not {MARKED}{hint}, and so is no hook{at}")


def _called(plugin: Plugin, caller: pluggy.HookCaller, hook: str, at: str) -> list[tuple[Any, Any]]:
    """What a hook returned, as names and targets; none if the plugin does not implement it."""
    implementations = [each for each in caller.get_hookimpls() if not (each.wrapper or each.hookwrapper)]
    try:
        found = caller()
        if implementations and not found:
            raise PluginError(f"{hook} returned None, perhaps for want of a return; expected a mapping{at}")
        for components in found:
            if not isinstance(components, Mapping):
                raise PluginError(
                    f"{hook} returned {type(components).__name__}; expected a mapping of names to classes{at}"
                )
        return [pair for components in found for pair in components.items()]
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:  # a hook may raise anything
        raise PluginError(f"{hook} raised {fault(error, plugin.module)}") from error


def _entry(plugin: Plugin, kind: str, hook: str, name: object, target: object) -> Entry:
    if not isinstance(name, str) or len(name) > SHOWN or not NAME.fullmatch(name):
        allowed = f"[a-z][a-z0-9_]*, of at most {SHOWN} characters"
        raise PluginError(f"{hook} names a component {_shown(name)}; a name is {allowed}")
    if not isinstance(target, str | type):
        raise PluginError(f"{hook} maps '{name}' to {_shown(target)}; expected a class or 'package.module:Class'")
    if isinstance(target, type):
        check_class(kind, target, f"{hook} maps '{name}' to")
    full = str.__str__(name) if plugin.is_own else f"{plugin.name}/{name}"
    return Entry(kind, full, target, plugin.distribution)


def _shown(given: object) -> str:
    try:
        return said(repr(given))
    except Exception:
        return f"a {said(type(given).__name__)}"
