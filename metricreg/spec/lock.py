"""`lock`: the versions of the distributions that a spec uses, in its `requires`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from metricreg.components.component import components_in
from metricreg.components.resolve import UnbuiltComponent, unbuilt_in
from metricreg.components.validation_errors import pointer
from metricreg.errors import Problem, SpecError, said
from metricreg.registry import OWN_DISTRIBUTION, Entry, Registry, default_registry
from metricreg.spec.document import plain
from metricreg.spec.spec import parse


def lock(spec: Any, *, exact: bool = False, upgrade: bool = False, registry: Registry | None = None) -> dict[str, Any]:
    """The same spec, with the distributions of its components in `requires`, metricreg's own included.

    A version 1.3.0 becomes `>=1.3.0,<2`, and 0.3.1 `>=0.3.1,<0.4`: what came later and promises to be compatible. What
    `requires` says already is kept.

    Args:
        spec: a dict, such as `load` returns.
        exact: the version that is installed and no other, `==1.3.0`, also in the place of what `requires` says.
        upgrade: what is installed, also in the place of what `requires` says.
        registry: where names are looked up; the default registry if None.

    Raises:
        SpecError: listing every problem of the spec; or a component that no installed distribution has.
    """
    registry = default_registry() if registry is None else registry
    document: Any = plain(spec)
    parsed, _ = parse(document | {"requires": {}} if isinstance(document, dict) else document, registry)
    stated = document.get("requires", {})
    if isinstance(stated, dict):
        needed = installed(parsed.parts, registry)
        document = document | {"requires": requirements(stated, needed, exact=exact, upgrade=upgrade)}
    parse(document, registry)  # what was kept may not be met, or be no object at all
    return dict(document)


def requirements(
    stated: Mapping[str, str], needed: Mapping[str, str], *, exact: bool = False, upgrade: bool = False
) -> dict[str, str]:
    """What `requires` says, filled up.

    Args:
        stated: what it says already.
        needed: distributions and the versions that are installed.
        exact: see `lock`.
        upgrade: see `lock`.
    """
    found = dict(stated)
    names = {canonicalize_name(name): name for name in stated}
    for distribution, of in needed.items():
        name = names.get(canonicalize_name(distribution), distribution)
        if exact or upgrade or name not in stated:
            found[name] = f"=={Version(of).public}" if exact else compatible(of)
    return found


def compatible(of: str) -> str:
    """The range of a version and those after it that promise to be compatible: up to the first number that is not 0."""
    found = Version(of)
    epoch = f"{found.epoch}!" if found.epoch else ""
    at = next((i for i, number in enumerate(found.release) if number), len(found.release) - 1)
    after = (*found.release[:at], found.release[at] + 1)
    return f">={found.public},<{epoch}{'.'.join(map(str, after))}"


def installed(parts: Any, registry: Registry, *, all_of_them: bool = True) -> dict[str, str]:
    """The distributions of components, metricreg's own first, and the versions that are installed.

    Args:
        parts: components, or components of a spec that are checked and not yet constructed, in dicts and lists.
        registry: which knows whose they are.
        all_of_them: raise for a component of no installed distribution, which is left out otherwise.

    Raises:
        SpecError: see `all_of_them`.
    """
    found = {OWN_DISTRIBUTION: version(OWN_DISTRIBUTION)}
    for entry, path in sorted(_entries(parts, registry), key=lambda each: each[0].distribution.lower()):
        of = _version(entry.distribution)
        if of is not None:
            found[entry.distribution] = of
        elif all_of_them:
            message = (
                f"the {entry.kind} '{entry.name}' is of '{said(entry.distribution)}', which is no installed "
                "distribution with a version; ship it as a plugin, and requires can name it"
            )
            raise SpecError([Problem(pointer(path), message)])
    return found


def _version(distribution: str) -> str | None:
    try:
        return str(Version(version(distribution)))
    except (PackageNotFoundError, InvalidVersion, ValueError, TypeError):  # or its metadata is damaged
        return None


def _entries(parts: Any, registry: Registry) -> Iterator[tuple[Entry, tuple[str | int, ...]]]:
    """What components are registered as, those of their defaults included, and where they stand."""
    for each, path in unbuilt_in(parts):
        if each.entry is not None:
            yield each.entry, path
    for made in components_in(_made(parts)):
        cls = vars(made).get("_construction", (type(made),))[0]
        name = registry.name_of(cls.kind, cls)
        if name is not None:
            yield registry.entry(cls.kind, name), ("loss",)


def _made(parts: Any) -> Any:
    if isinstance(parts, dict):
        return [_made(part) for part in parts.values()]
    return parts.specimen if isinstance(parts, UnbuiltComponent) else parts
