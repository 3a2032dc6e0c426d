"""Classes that a registry has as `"package.module:Class"`: whether they can be found, and importing them."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from metricreg.errors import RegistrationError, said, said_by
from metricreg.registry.fault import fault
from metricreg.registry.isolation import isolated

if TYPE_CHECKING:
    from metricreg.registry.entry import Entry


def module_spec(name: str) -> ModuleSpec | None:
    """Where a module is, found without importing the packages that it is in; None if it is nowhere."""
    spec, path = None, None
    for end in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:end])
        module = sys.modules.get(part)
        spec = _find(part, path) if module is None else getattr(module, "__spec__", None) or ModuleSpec(part, None)
        if spec is None:
            return None
        path = getattr(module, "__path__", None) or spec.submodule_search_locations
        if path is None and part != name:
            return None
    return spec


def _find(name: str, path: Any) -> ModuleSpec | None:
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return next((spec for find in finders if find is not None and (spec := find(name, path)) is not None), None)


def missing(target: str) -> str | None:
    """What of a target cannot be found, as far as that can be told without importing it; None if nothing."""
    name, _, class_name = target.partition(":")
    if module_spec(name) is None:
        return f"there is no module {name}"
    module = sys.modules.get(name)
    if module is not None and class_name not in vars(module) and "__getattr__" not in vars(module):
        return f"the module {name} has no {class_name}"
    return None


def import_class(entry: Entry, changed: list[str]) -> type:
    """Import the class of an entry.

    Args:
        entry: one whose target is a string.
        changed: gets a name of each thing of the process that was changed by that, and put back.

    Raises:
        RegistrationError: it cannot be imported, or is no class.
    """
    module, _, name = str(entry.target).partition(":")
    loaded: object = None
    try:
        with isolated(changed):
            loaded = importlib.import_module(module)
            cls = getattr(loaded, name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's module may raise anything, SystemExit included
        says = fault(error, module) if loaded is None else f"{said_by(error)}{_at(loaded)}"
        raise RegistrationError(
            f"{entry.kind} '{entry.name}' of {entry.distribution} cannot be imported from {entry.target}: {says}"
        ) from error
    if not isinstance(cls, type):
        is_no = f"{entry.target} is {said(type(cls).__name__)}, not a class{_at(loaded)}"
        raise RegistrationError(f"{entry.kind} '{entry.name}' of {entry.distribution}: {is_no}")
    return cls


def _at(module: object) -> str:
    file = getattr(module, "__file__", None)
    return f" (at {said(file)})" if isinstance(file, str) else ""
