"""Which name stands for which class. Needs neither torch nor pluggy, so that listing components stays fast."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metricreg.errors import PluginError, RegistrationError, SpecError, cut, said
from metricreg.registry.entry import IMPORT_PATH, KINDS, LOCAL_NAMESPACE, Entry, check_class, check_kind, import_path
from metricreg.registry.former_names import (
    NowCalled,
    all_former_names,
    beside,
    check_former_names,
    check_one_name_each,
    claimed_twice,
)
from metricreg.registry.isolation import warn
from metricreg.registry.lazy import import_class
from metricreg.registry.turn import Turn
from metricreg.registry.unknown_name import explain_unknown, failure

if TYPE_CHECKING:
    from metricreg.registry.report import PluginReport

_LOADING = Turn()
"""Registries are loaded one at a time: what one imports may look at another."""


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
    _refused: dict[tuple[str, str], RegistrationError] = field(default_factory=dict, init=False, repr=False)
    _names: dict[str, dict[str, str]] = field(default_factory=dict, init=False, repr=False)
    _reports: list[PluginReport] = field(default_factory=list, init=False, repr=False)
    _former: dict[tuple[str, str], dict[str, list[NowCalled]]] = field(default_factory=dict, init=False, repr=False)
    _notes: list[str] = field(default_factory=list, init=False, repr=False)
    _strict: PluginError | None = field(default=None, init=False, repr=False)
    _is_loading: bool = field(default=False, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    @classmethod
    def from_plugins(
        cls,
        plugins: Mapping[str, object] | None = None,
        *,
        only: Iterable[str] | None = None,
        block: Iterable[str] = (),
        strict: bool = True,
    ) -> Registry:
        """A registry of its own, with metricreg's components and those of some plugins; for tests and libraries.

        It is filled at once, shares nothing with the default registry, and the environment has no say in it. It is
        handed to whatever takes `registry=`.

        Args:
            plugins: the module that has the hooks, or its name, or an object, by namespace; all installed ones if None.
            only: the only plugins beside metricreg's own that are loaded: namespaces, or `dist:NAME` for distributions.
            block: plugins that are not loaded, in the same words.
            strict: raise if anything is wrong with a plugin; warn if False.

        Raises:
            PluginError: a plugin cannot be used, or a word names none; see `strict`.
        """
        from metricreg.registry import entry_points

        registry = cls(lambda each: entry_points.load_given(each, plugins, only=only, block=block, strict=strict))
        registry._load()
        return registry

    def _load(self) -> None:
        """Fill it the first time; where plugins are to be strict about, raise what is wrong with them each time."""
        self._fill()
        if self._strict is not None:
            raise PluginError(str(self._strict)) from self._strict.__cause__

    def _fill(self) -> None:
        if self.loader is None and not self._is_loading:
            return
        with _LOADING.taken() as mine:
            loader = self.loader if mine else None
            if loader is None:
                return
            self.loader, self._is_loading = None, True
            try:
                loader(self)
            except PluginError as error:  # strict: it is filled, and says so each time without loading again
                self._strict = error
            except BaseException:
                self.unload(loader)  # a load that was interrupted is tried again, not taken for an empty registry
                raise
            finally:
                self._is_loading = False

    def unload(self, loader: Callable[[Registry], None] | None) -> None:
        """Forget all but what `metricreg.register` added, and fill it again when it is next looked at."""
        with self._lock:
            local = [entry for entry in self._entries.values() if entry.name.startswith(LOCAL_NAMESPACE + "/")]
            found = (self._entries, self._resolved, self._refused, self._names, self._former)
            for kept in (*found, self._reports, self._notes):
                kept.clear()
            self.loader, self._strict = loader, None
            for entry in local:
                self._add(entry)

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
        if isinstance(entry.target, str) and not IMPORT_PATH.fullmatch(entry.target):
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
        self._forget(key)
        self._names.setdefault(entry.kind, {}).setdefault(entry.path, entry.name)

    def _forget(self, key: tuple[str, str]) -> None:
        """What was found out about a name that now stands for something else."""
        self._resolved.pop(key, None)
        self._refused.pop(key, None)
        self._former.clear()

    def snapshot(self) -> dict[tuple[str, str], Entry]:
        """The registrations of this moment, for `undo`."""
        with self._lock:
            return dict(self._entries)

    def undo(self, before: Mapping[tuple[str, str], Entry], *, keep_local: bool) -> list[str]:
        """Go back to the registrations of a moment, and name each that changed, as `kind 'name'`.

        Args:
            before: what `snapshot` gave then.
            keep_local: keep what was added to the namespace `local`, as `metricreg.register` does.
        """
        with self._lock:
            changed = [
                key
                for key in {**before, **self._entries}
                if before.get(key) is not self._entries.get(key)
                and not (keep_local and key not in before and key[1].startswith(LOCAL_NAMESPACE + "/"))
            ]
            if changed:
                order = {**before, **self._entries}  # a class has the first of its names
                now = {key: before.get(key) if key in changed else self._entries[key] for key in order}
                kept = {key: entry for key, entry in now.items() if entry is not None}
                names: dict[str, dict[str, str]] = {}
                for entry in kept.values():
                    names.setdefault(entry.kind, {}).setdefault(entry.path, entry.name)
                self._entries, self._names = kept, names  # whole, for threads that look without the lock
                for key in changed:
                    self._forget(key)
            return [f"{kind} '{name}'" for kind, name in changed]

    def names(self, kind: str) -> tuple[str, ...]:
        """The names registered for a kind: metricreg's own first, then each namespace, alphabetically."""
        check_kind(kind)
        self._load()
        names = (name for k, name in tuple(self._entries) if k == kind)
        return tuple(sorted(names, key=lambda name: ("/" in name, name)))

    def has(self, kind: str, name: str) -> bool:
        """Whether a name is registered for a kind."""
        check_kind(kind)
        self._load()
        return (kind, name) in self._entries

    def entry(self, kind: str, name: str) -> Entry:
        """The registration of a name, without importing what it points to."""
        check_kind(kind)
        self._load()
        try:
            return self._entries[kind, name]
        except KeyError:
            raise SpecError(explain_unknown(self, kind, name), "") from failure(self, name)

    def get(self, kind: str, name: str) -> type[Any]:
        """The class registered under a name, imported now if need be.

        Raises:
            SpecError: no such name; the message has the closest one, or why its plugin was left out.
            RegistrationError: the class cannot be a component of this kind, or cannot be imported.
        """
        entry = self.entry(kind, name)
        cls = self._resolved.get((kind, name))
        if cls is None:
            if (kind, name) in self._refused:  # a module that fails is not run again at each use
                refused = self._refused[kind, name]
                raise RegistrationError(str(refused)) from refused.__cause__
            try:
                cls = self._checked(entry)
                self._check_names(entry, cls)
            except RegistrationError as error:
                self._refused[kind, name] = error
                raise
            self._resolved[kind, name] = cls
        return cls

    def _checked(self, entry: Entry) -> type[Any]:
        """The class of an entry, imported and found to be a component."""
        if isinstance(entry.target, str):
            before, changed = Before(self), list[str]()
            try:
                cls = import_class(entry, changed)
            finally:
                changed += before.undo(keep_local=True)
                if changed:
                    what = said(", ".join(changed))
                    warn(f"importing {entry.kind} '{entry.name}' of {entry.distribution} changed {what}, put back now")
        else:
            cls = entry.target
        check_class(entry.kind, cls, f"{entry.kind} '{entry.name}' of {entry.distribution} is")
        return cls

    def _check_names(self, entry: Entry, cls: type) -> None:
        """Refuse of a class that a path led to what `load` refuses of one that is given; others' names do not count."""
        same = [e for e in beside(self, entry.kind, entry.name) if e.distribution == entry.distribution]
        imported = replace(entry, target=cls)
        check_former_names([imported, *(e for e in same if e.name != entry.name)])
        if not entry.name.startswith(LOCAL_NAMESPACE + "/"):
            keys = list(self._entries)
            earlier = set(keys[: keys.index((entry.kind, entry.name))])  # the first name of a class is its name
            before = [e for e in same if (e.kind, e.name) in earlier]
            alike = [e for e in before if e.path == imported.path or self._resolved.get((e.kind, e.name)) is cls]
            check_one_name_each([*(replace(e, target=cls) for e in alike), imported])

    def current_name(self, kind: str, name: str) -> str:
        """The name itself, or what a component with this former name is called now; see `now_called`."""
        now = None if self.has(kind, name) else self.now_called(kind, name)
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
        entries = self.snapshot()
        order = sorted(entries, key=lambda key: (KINDS.index(key[0]), "/" in key[1], key[1]))
        return iter([entries[key] for key in order])

    # -- what is known about plugins ------------------------------------------------------------------------------

    @property
    def reports(self) -> tuple[PluginReport, ...]:
        """One report an entry point, in the order they were loaded; also where a strict load failed."""
        self._fill()
        return tuple(self._reports)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong beside plugins: words that block one and name none."""
        self._fill()
        return tuple(self._notes)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Keep what is wrong beside plugins."""
        self._notes += notes

    def add_report(self, report: PluginReport) -> None:
        """Keep what happened to a plugin."""
        self._reports.append(report)


class Before:
    """What was registered at a moment: in a registry, and in the default one, which a plugin may look at and change.

    Args:
        registry: the one that a plugin is imported for.
    """

    def __init__(self, registry: Registry) -> None:
        both = [registry] if registry is _default else [registry, _default]
        self._states = [(each, each.loader, each.snapshot()) for each in both]

    def undo(self, *, keep_local: bool) -> list[str]:
        """As `Registry.undo`, of both. One that a plugin had filled while it was half imported is filled anew."""
        changed = []
        for registry, loader, entries in self._states:
            if loader is not None and registry.loader is None:
                registry.unload(loader)
            changed += registry.undo(entries, keep_local=keep_local)
        return changed


def _reexports(target: type | str, cls: type) -> bool:
    """Whether a path leads to a class through another module than the one that defines it. Imports nothing."""
    module, _, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    return name == cls.__qualname__ and getattr(sys.modules.get(module), name, None) is cls


def _load_installed(registry: Registry) -> None:
    from metricreg.registry.entry_points import load_entry_points

    load_entry_points(registry)


_default: Registry = Registry(_load_installed)


def default_registry() -> Registry:
    """The registry that specs are resolved in unless another is passed: everything installed, plus `register`."""
    return _default
