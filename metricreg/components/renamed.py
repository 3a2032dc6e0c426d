"""What a spec, or a call, has by a former name: where, and what to write now."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from metricreg.components.resolve import UnbuiltComponent, unbuilt_in
from metricreg.components.signature import former_parameters
from metricreg.components.type_hints import Declared
from metricreg.components.validation_errors import pointer, shown
from metricreg.errors import SHOWN, MetricregError, RenamedWarning, cut, printable
from metricreg.registry import Registry, default_registry
from metricreg.registry.former_names import former_names


@dataclass(frozen=True)
class Renaming:
    """A former name that a spec has, of a component or of a parameter.

    Args:
        pointer: JSON pointer to where it stands; it resolves in the spec.
        what: `component` or `parameter`.
        former: the name that stands there.
        current: what it is called now.
        of: the kind of the component; of a parameter, the component that has it: `loss 'acme/soft'`.
        distribution: what ships the component; empty if that is not known.
        since: the version of the distribution since which it is called so; None if that is not declared.
        given: the line that is there.
        write: the line to write in its place.
    """

    pointer: str
    what: Literal["component", "parameter"]
    former: str
    current: str
    of: str
    distribution: str
    since: str | None
    given: str
    write: str

    @property
    def message(self) -> str:
        """What it is called now, since when, and what to write."""
        of = f"a {self.of}" if self.what == "component" else f"a parameter of the {self.of}"
        of = cut(f"{of} of {self.distribution}" if self.distribution else of, 3 * SHOWN)
        since = f"since version {cut(self.since)}" if self.since else "now"
        now = f"is called '{cut(self.current)}' {since}; write {self.write} in place of {self.given}"
        return f"'{cut(self.former)}', {of}, {now}"

    def __str__(self) -> str:
        where = f"{cut(self.pointer, 3 * SHOWN)}: " if self.pointer else ""
        return printable(f"{where}{self.message}")


def renamings_in(parts: Any, document: Any, registry: Registry) -> tuple[Renaming, ...]:
    """What has former names in components of a spec that are checked and not yet constructed.

    Args:
        parts: the components, in dicts and lists as they stand in the document.
        document: as it was given.
        registry: which knows their names and distributions.
    """
    found: list[Renaming] = []
    for each, path in unbuilt_in(parts):
        if each.former_name is None and not each.written:
            continue
        name = registry.name_of(each.cls.kind, each.cls) or each.cls.__name__
        if each.former_name is not None:
            found.append(_of_name(each, name, path, _node(document, path), registry))
        if each.written:
            found += _of_parameters(each.cls, name, each.written, each.given, path, registry)
    return tuple(found)


def renamed_arguments(
    cls: type[Declared], written: Mapping[str, str], given: Mapping[str, Any]
) -> tuple[Renaming, ...]:
    """What has former names in the keyword arguments of a class.

    Args:
        cls: a component's class.
        written: for names of now, the former ones that were given.
        given: the arguments, by their names of now.
    """
    try:
        registry = default_registry()
        name = registry.name_of(cls.kind, cls)
    except MetricregError:  # a strict load that fails, which is not about this
        registry, name = Registry(), None
    found = _of_parameters(cls, name or cls.__name__, written, given, (), registry)
    return tuple(_as_keyword(renaming, given) for renaming in found)


def renamed_in_call(created: UnbuiltComponent, parameters: Mapping[str, Any], registry: Registry) -> list[Renaming]:
    """What has former names in the arguments of `metricreg.create`.

    Args:
        created: the component, checked.
        parameters: as they were given.
        registry: which knows its name and its distribution.
    """
    found = []
    for renaming in renamings_in(created, parameters, registry):
        if renaming.what == "component" and renaming.pointer == "/name":
            kind = created.cls.kind
            given, write = (f"create('{kind}', '{name}', ...)" for name in (renaming.former, renaming.current))
            renaming = replace(renaming, pointer="", given=given, write=write)
        elif renaming.what == "parameter" and renaming.pointer == pointer((renaming.former,)):
            renaming = _as_keyword(renaming, created.given)
        found.append(renaming)
    return found


def _as_keyword(renaming: Renaming, given: Mapping[str, Any]) -> Renaming:
    """The same with the lines as Python has them."""
    value = _short(given[renaming.current])
    return replace(renaming, given=f"{renaming.former}={value}", write=f"{renaming.current}={value}")


def warn_renamed(renamings: Iterable[Renaming], stacklevel: int) -> None:
    """One `RenamedWarning` each, at the line of a caller's caller, as `warnings.warn` counts."""
    for renaming in renamings:
        warnings.warn(RenamedWarning(str(renaming)), stacklevel=stacklevel + 1)


def _of_name(each: UnbuiltComponent, name: str, path: tuple[str | int, ...], node: Any, registry: Registry) -> Renaming:
    former = str(each.former_name)
    bare = isinstance(node, str)
    key = (path[-1] if path else "") if bare else "name"
    before = f"{shown(key)}: " if isinstance(key, str) and key else ""
    return Renaming(
        pointer(path if bare else (*path, "name")),
        "component",
        former,
        name,
        each.cls.kind,
        _distribution(each.cls.kind, name, registry),
        former_names(each.cls).get(former.rpartition("/")[2]),
        f"{before}{shown(former)}",
        f"{before}{shown(name)}",
    )


def _of_parameters(
    cls: type[Declared],
    name: str,
    written: Mapping[str, str],
    given: Mapping[str, Any],
    path: tuple[str | int, ...],
    registry: Registry,
) -> list[Renaming]:
    formers = former_parameters(cls)
    return [
        Renaming(
            pointer((*path, former)),
            "parameter",
            former,
            now,
            f"{cls.kind} '{name}'",
            _distribution(cls.kind, name, registry),
            formers[former].since,
            f"{shown(former)}: {_short(given[now])}",
            f"{shown(now)}: {_short(given[now])}",
        )
        for now, former in written.items()
    ]


def _short(value: Any) -> str:
    """A value of one line; what holds others may be as large as a whole document."""
    if isinstance(value, Declared):
        return f"{type(value).__name__}(...)"
    if isinstance(value, dict | list | tuple):
        return "{...}" if isinstance(value, dict) else "[...]"
    return shown(cut(value) if isinstance(value, str) else value)


def _distribution(kind: str, name: str, registry: Registry) -> str:
    return registry.entry(kind, name).distribution if registry.has(kind, name) else ""


def _node(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document
