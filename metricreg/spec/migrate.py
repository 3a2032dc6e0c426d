"""`migrate`: a spec of an older version of the format, or with former names, as it is written now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metricreg.components.renamed import Renaming
from metricreg.components.validation_errors import pointer
from metricreg.registry import Registry
from metricreg.spec.document import plain
from metricreg.spec.spec import parse
from metricreg.spec.versions import in_newest_version


def migrate(spec: Any, *, registry: Registry | None = None) -> dict[str, Any]:
    """The same spec in the newest version of the format, with the names that components and parameters have now.

    Args:
        spec: a dict, such as `load` returns.
        registry: where names are looked up; the default registry if None.

    Raises:
        SpecError: listing every problem of the spec; or a version of the format that only a newer metricreg reads.
    """
    document = in_newest_version(plain(spec))
    found: dict[str, Any] = renamed(document, renamings_of(document, registry))
    return found


def renamings_of(document: Any, registry: Registry | None = None) -> tuple[Renaming, ...]:
    """What a document has by former names; raises `SpecError` with every problem of it."""
    _, report = parse(document, registry)
    return report.renamed


def renamed(document: Any, renamings: Sequence[Renaming]) -> Any:
    """A copy of a document with the names of now."""
    if not renamings:
        return document
    return _renamed(document, {(each.what, each.pointer): each.current for each in renamings}, ())


def _renamed(node: Any, current: Mapping[tuple[str, str], str], path: tuple[str | int, ...]) -> Any:
    if isinstance(node, dict):
        return {
            current.get(("parameter", pointer((*path, key))), key): _renamed(item, current, (*path, key))
            for key, item in node.items()
        }
    if isinstance(node, list):
        return [_renamed(item, current, (*path, i)) for i, item in enumerate(node)]
    return current.get(("component", pointer(path)), node)
