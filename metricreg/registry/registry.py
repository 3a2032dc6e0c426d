"""Which name stands for which class. Needs neither torch nor pluggy, so that listing components stays fast."""

from __future__ import annotations

import difflib
import importlib
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metricreg.errors import RegistrationError, SpecError, cut
from metricreg.registry.former_names import (
    NowCalled,
    all_former_names,
    beside,
    check_former_names,
    check_one_name_each,
    claimed_twice,
)
from metricreg.registry.other_names import name_here

if TYPE_CHECKING:
    from metricreg.registry.entry_points import PluginReport

KINDS = ("distance", "loss", "reducer", "regularizer", "miner", "match")
OWN_DISTRIBUTION = "metricreg"
LOCAL_NAMESPACE = "local"

NAME = re.compile(r"[a-z][a-z0-9_]*")
NAMESPACE = re.compile(r"[a-z][a-z0-9_-]*")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Entry:
    """A registered component: a class, or the `"package.module:Class"` where it is defined."""

    kind: str
    name: str
    target: type | str
    distribution: str

    @property
    def path(self) -> str:
        """The defining module and class, as `package.module:Class`."""
        return self.target if isinstance(self.target, str) else import_path(self.target)


def import_path(cls: type) -> str:
    """`package.module:Class` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def check_kind(kind: str) -> None:
    """Refuse anything but one of the kinds."""
    if kind not in KINDS:
        raise SpecError(f"unknown kind '{kind}'; the kinds are {', '.join(KINDS)}", "")


@dataclass
class Registry:
    """Maps (kind, name) to a class, or to the path of a class that is imported when it is first needed.

    Args:
        loader: called once, with the registry, before it is first looked at. The default registry is filled from
            entry points this way; a registry made without one is empty.
    """

    loader: Callable[[Registry], None] | None = None
    _entries: dict[tuple[str, str], Entry] = field(default_factory=dict, init=False, repr=False)
    _resolved: dict[tuple[str, str], type] = field(default_factory=dict, init=False, repr=False)
    _names: dict[str, dict[str, str]] = field(default_factory=dict, init=False, repr=False)
    _reports: list[PluginReport] = field(default_factory=list, init=False, repr=False)
    _former: dict[tuple[str, str], dict[str, list[NowCalled]]] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def _load(self) -> None:
        with self._lock:  # another thread waits for the whole of it; this one may come back while it loads
            loader, self.loader = self.loader, None
            if loader is None:
                return
            try:
                loader(self)
            except BaseException:
                self.loader = loader  # a strict load that failed is tried again, not taken for an empty registry
                self._entries.clear()
                self._resolved.clear()
                self._names.clear()
                self._reports.clear()
                raise

    def add(self, *entries: Entry, replace: bool = False) -> None:
        """Register components, all or none. A taken name is an error unless `replace`."""
        self._load()
        with self._lock:
            for entry in entries:
                self._check(entry, replace)
            for entry in entries:
                self._add(entry)

    def _check(self, entry: Entry, replace: bool) -> None:
        check_kind(entry.kind)
        if isinstance(entry.target, str) and not _IMPORT_PATH.fullmatch(entry.target):
            raise RegistrationError(
                f"{entry.kind} '{entry.name}' is registered as '{cut(entry.target)}'; expected 'package.module:Class'"
            )
        taken = self._entries.get((entry.kind, entry.name))
        if taken is not None and not replace:
            raise RegistrationError(
                f"{entry.kind} '{entry.name}' is registered twice: as {taken.path} by {taken.distribution} "
                f"and as {entry.path} by {entry.distribution}"
            )

    def _add(self, entry: Entry) -> None:
        key = (entry.kind, entry.name)
        taken = self._entries.get(key)
        if taken is not None and self._names[entry.kind].get(taken.path) == entry.name:
            del self._names[entry.kind][taken.path]
        self._entries[key] = entry
        self._resolved.pop(key, None)
        self._former.clear()
        self._names.setdefault(entry.kind, {}).setdefault(entry.path, entry.name)

    def names(self, kind: str) -> tuple[str, ...]:
        """The names registered for a kind: metricreg's own first, then each namespace, alphabetically."""
        check_kind(kind)
        self._load()
        return tuple(sorted((name for k, name in self._entries if k == kind), key=lambda name: ("/" in name, name)))

    def entry(self, kind: str, name: str) -> Entry:
        """The registration of a name, without importing what it points to."""
        check_kind(kind)
        self._load()
        try:
            return self._entries[kind, name]
        except KeyError:
            raise SpecError(self.explain_unknown(kind, name), "") from self.failure(name)

    def get(self, kind: str, name: str) -> type[Any]:
        """The class registered under a name, imported now if need be.

        Raises:
            SpecError: no such name; the message has the closest one, or why its plugin was left out.
            RegistrationError: the class cannot be a component of this kind, or cannot be imported.
        """
        entry = self.entry(kind, name)
        cls = self._resolved.get((kind, name))
        if cls is None:
            cls = _import(entry) if isinstance(entry.target, str) else entry.target
            check = getattr(cls, "check_declaration", None)
            if check is None:
                raise RegistrationError(f"{kind} '{name}' is {import_path(cls)}, which is not a metricreg component")
            check(kind)
            self._check_names(entry, cls)
            self._resolved[kind, name] = cls
        return cls

    def _check_names(self, entry: Entry, cls: type) -> None:
        """Refuse what `load` refuses of classes that are there, of one that a path led to."""
        others = [e for e in beside(self, entry.kind, entry.name) if e.name != entry.name]
        imported = replace(entry, target=cls)
        check_former_names([imported, *others])
        if not entry.name.startswith(LOCAL_NAMESPACE + "/"):
            check_one_name_each([e for e in (*others, imported) if e.path == imported.path])

    def current_name(self, kind: str, name: str) -> str:
        """The name itself, or what a component with this former name is called now; see `now_called`."""
        now = None if name in self.names(kind) else self.now_called(kind, name)
        return name if now is None else now.name

    def now_called(self, kind: str, name: str) -> NowCalled | None:
        """What a component with a former name is called now; None if no class says that it had this name.

        Imports the components of the kind in the namespace, for they say what they were called.

        Raises:
            RegistrationError: two of them say that they had it.
        """
        key = (kind, name.rpartition("/")[0])
        if key not in self._former:
            self._former[key] = all_former_names(self, kind, name)
        found = self._former[key].get(name, [])
        if len(found) > 1:
            raise claimed_twice(kind, name, found[0].name, found[1].name)
        return found[0] if found else None

    def name_of(self, kind: str, cls: type) -> str | None:
        """The name a class is registered under, or None."""
        self._load()
        named = self._names.get(kind, {}).get(import_path(cls))
        return named or next((e.name for e in self if e.kind == kind and _reexports(e.target, cls)), None)

    def __iter__(self) -> Iterator[Entry]:
        """All registrations, by kind and name."""
        self._load()
        return (self._entries[kind, name] for kind in KINDS for name in self.names(kind))

    # -- what is known about plugins ------------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[PluginReport, ...]:
        """One report an entry point, in the order they were loaded."""
        self._load()
        return tuple(self._reports)

    def add_report(self, report: PluginReport) -> None:
        """Keep what happened to a plugin."""
        self._reports.append(report)

    def failure(self, name: str) -> BaseException | None:
        """The exception because of which the plugin that owns `name` was left out, if there is one."""
        return next((r.exception for r in self._left_out(name) if r.exception is not None), None)

    def _left_out(self, name: str) -> list[PluginReport]:
        namespace, slash, _ = name.partition("/")
        out = [r for r in self.reports if r.status != "active"]
        return [r for r in out if (r.name == namespace if slash else r.distribution == r.name == OWN_DISTRIBUTION)]

    def explain_unknown(self, kind: str, name: str, requires: Mapping[str, str] | None = None) -> str:
        """Why a name is not known, and how to mend it."""
        known = self.names(kind)
        left_out = self._left_out(name)
        if left_out:
            causes = "; ".join(f"{r.name} ({r.distribution} {r.version}) is {r.status}: {r.problem}" for r in left_out)
            return f"{kind} '{cut(name)}' belongs to a plugin that was left out: {causes}"
        namespace, slash, _ = name.partition("/")
        unknown = f"unknown {kind} '{cut(name)}'"
        if slash and namespace == LOCAL_NAMESPACE:
            return f"{unknown}: 'local/' names exist after metricreg.register(cls) in the same process"
        if slash and not any(known_name.startswith(namespace + "/") for k in KINDS for known_name in self.names(k)):
            absent = [d for d in requires or {} if DISTRIBUTION.fullmatch(d) and not _is_installed(d)]
            candidates = [d for d in absent if namespace in re.split(r"[-_.]+", d.lower())] or absent
            install = (
                "pip install " + " ".join(shlex.quote(d + (requires or {})[d]) for d in candidates[:3])
                if candidates
                else f"install the distribution that provides the plugin '{cut(namespace)}'"
            )
            installed = sorted({e.name.partition("/")[0] for e in self if "/" in e.name})
            close = difflib.get_close_matches(namespace, installed, 1, 0.7)
            mend = f"did you mean '{close[0]}'? If not, {install}" if close else install
            return f"{unknown}: no installed plugin has the namespace '{cut(namespace)}'; {mend}"
        now = self.now_called(kind, name)
        if now is not None:
            return f"{unknown}; it is called '{now.name}' now"
        return f"{unknown}; {_suggest(kind, name, known, self)}"


def _suggest(kind: str, name: str, known: tuple[str, ...], registry: Registry) -> str:
    if here := name_here(kind, name, known):
        return f"what is called so is {here} here"
    other = [k for k in KINDS if k != kind and name in registry.names(k)]
    if other:
        return f"'{cut(name)}' is a {other[0]}, not a {kind}; known: {_listed(known)}"
    close = difflib.get_close_matches(name, known, 1, 0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {_listed(known)}"


def _listed(known: tuple[str, ...], most: int = 20) -> str:
    if not known:
        return "none (is metricreg's own plugin blocked or metricreg not installed?)"
    return ", ".join(known[:most]) + (f", ... ({len(known) - most} more: metricreg list)" if len(known) > most else "")


@lru_cache(maxsize=256)  # a spec may ask for many names, and each takes a look at the disk
def _is_installed(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except (PackageNotFoundError, ValueError):
        return False
    return True


def _reexports(target: type | str, cls: type) -> bool:
    """Whether a path leads to a class through another module than the one that defines it. Imports nothing."""
    module, _, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    return name == cls.__qualname__ and getattr(sys.modules.get(module), name, None) is cls


def _import(entry: Entry) -> type:
    module_name, _, class_name = str(entry.target).partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's module may raise anything, SystemExit included
        raise RegistrationError(
            f"{entry.kind} '{entry.name}' of {entry.distribution} cannot be imported from {entry.target}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(cls, type):
        raise RegistrationError(f"{entry.kind} '{entry.name}': {entry.target} is {type(cls).__name__}, not a class")
    return cls


_default: Registry = Registry()


def default_registry() -> Registry:
    """The registry that specs are resolved in unless another is passed: everything installed, plus `register`."""
    return _default


def set_default_loader(loader: Callable[[Registry], None]) -> None:
    """Say how the default registry is filled when it is first looked at. Called by `entry_points`."""
    _default.loader = loader
