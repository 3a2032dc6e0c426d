"""What components were called formerly: each class says so itself, in `former_names`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from metricreg.errors import RegistrationError, said
from metricreg.registry.entry import NAME, Entry

if TYPE_CHECKING:
    from metricreg.registry.registry import Registry


class NowCalled(NamedTuple):
    """What something with a former name is called now, and since which version of its distribution, if that is said."""

    name: str
    since: str | None


def former_names(cls: type) -> dict[str, str | None]:
    """The former names that a class declares itself, without a namespace, and since when each is replaced.

    Raises:
        RegistrationError: something else than names, or pairs of a name and a version.
    """
    declared = cls.__dict__.get("former_names", ())  # of its own: a base has another name
    here = f"{cls.__module__}.{cls.__qualname__}.former_names"
    if not isinstance(declared, tuple | list):
        raise RegistrationError(f'{here} is {said(declared, 100)}; write a tuple: ("clamped_mean",)')
    found: dict[str, str | None] = {}
    for item in declared:
        name, since = name_and_version(item, here)
        if not NAME.fullmatch(name):
            raise RegistrationError(f"{here} has '{said(name, 100)}'; a name is [a-z][a-z0-9_]*, without a namespace")
        if name in found:
            raise RegistrationError(f"{here} has '{name}' twice")
        found[name] = since
    return found


def name_and_version(item: object, here: str) -> tuple[str, str | None]:
    """A name, or a pair of a name and a version.

    Raises:
        RegistrationError: anything else.
    """
    if isinstance(item, str):
        return item, None
    if isinstance(item, tuple | list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return item[0], item[1]
    raise RegistrationError(f'{here} has {said(item, 100)}; expected a name, or a name and a version: ("name", "1.3")')


def check_one_name_each(entries: Iterable[Entry]) -> None:
    """Refuse two names for one class: `to_spec` could give only one of them.

    Raises:
        RegistrationError: says which, and what to do.
    """
    names: dict[tuple[str, str], str] = {}
    for entry in entries:
        first = names.setdefault((entry.kind, entry.path), entry.name)
        if first != entry.name:
            raise RegistrationError(
                f"'{first}' and '{entry.name}' are two names for one {entry.kind}, {entry.path}; keep one, and let the "
                f'class say what it was called: former_names = ("{entry.name.rpartition("/")[2]}",)'
            )


def check_former_names(entries: Iterable[Entry]) -> None:
    """Refuse former names that stand for another component too. Looks only at classes that are there, and imports none.

    Args:
        entries: of one namespace.

    Raises:
        RegistrationError: says which, and what to do.
    """
    entries = list(entries)
    names = {(entry.kind, entry.name): entry for entry in entries}
    claims: dict[tuple[str, str], str] = {}
    for entry in entries:
        for former in former_names(entry.target) if isinstance(entry.target, type) else ():
            old = _beside(entry.name, former)
            other = names.get((entry.kind, old))
            if other is not None:
                of = "its own name now" if other is entry else f"the {entry.kind} {other.path} now"
                raise RegistrationError(f"{entry.path} says that it was called '{former}', and '{old}' is {of}")
            first = claims.setdefault((entry.kind, old), entry.name)
            if first != entry.name:
                raise claimed_twice(entry.kind, old, first, entry.name)


def beside(registry: Registry, kind: str, name: str) -> list[Entry]:
    """The registrations of a kind in the namespace of a name."""
    namespace = name.rpartition("/")[0]
    return [entry for entry in registry if entry.kind == kind and entry.name.rpartition("/")[0] == namespace]


def all_former_names(registry: Registry, kind: str, name: str) -> dict[str, list[NowCalled]]:
    """All former names of a kind in the namespace of a name, and what has each now, which should be one component.

    Imports those components. One that cannot be imported, or is refused, is passed over.
    """
    found: dict[str, list[NowCalled]] = {}
    for entry in beside(registry, kind, name):
        try:
            formers = former_names(registry.get(kind, entry.name))
        except RegistrationError:  # whoever asks for that component is told
            continue
        for former, since in formers.items():
            found.setdefault(_beside(entry.name, former), []).append(NowCalled(entry.name, since))
    return found


def names_of(registry: Registry, kind: str, name: str) -> tuple[str, ...]:
    """A component's name, and the former names by which a spec may have it."""
    return name, *(_beside(name, former) for former in former_names(registry.get(kind, name)))


def claimed_twice(kind: str, former: str, first: str, second: str) -> RegistrationError:
    """The error for a former name that two components say they had."""
    return RegistrationError(
        f"the {kind} '{first}' and the {kind} '{second}' both say that they were called '{former}'; "
        "take it from the former_names of one of them"
    )


def _beside(current: str, former: str) -> str:
    namespace, slash, _ = current.rpartition("/")
    return f"{namespace}{slash}{former}"
