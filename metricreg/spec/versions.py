"""Versions of the format of specs: which one this metricreg reads, and how older ones become it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from packaging.utils import canonicalize_name

from metricreg.errors import Problem, SpecError, cut
from metricreg.registry import OWN_DISTRIBUTION

VERSION = 1

Document = dict[str, Any]
MIGRATIONS: dict[int, Callable[[Document], Document]] = {}
"""For each older version, what makes a document of the next one of it; the number itself is written afterwards."""


def in_newest_version(document: Any) -> Any:
    """The same document in the newest version of the format; what is no document, or of no version, stays as it is.

    Raises:
        SpecError: a version that only a newer metricreg reads.
    """
    _check_not_newer(document)
    while (number := _version_of(document)) < VERSION and number in MIGRATIONS:
        document = MIGRATIONS[number](document) | {"version": number + 1}
    return document


def check_version(document: Any) -> None:
    """Refuse a document of another version of the format, before what it says is taken for mistakes.

    Raises:
        SpecError: says which metricreg reads it, or how it becomes one of this version.
    """
    _check_not_newer(document)
    number = _version_of(document)
    if number in MIGRATIONS:
        message = (
            f"version {number} of the format is older than {VERSION}, which this metricreg reads; "
            "metricreg migrate FILE, or metricreg.migrate(spec), rewrites it"
        )
        raise SpecError([Problem("/version", message)])


def _check_not_newer(document: Any) -> None:
    number = _version_of(document)
    if number > VERSION:
        running = version(OWN_DISTRIBUTION)
        wanted = shlex.quote(f"{OWN_DISTRIBUTION}{_stated(document) or '>' + running}")
        message = (
            f"version {cut(str(number), 20)} of the format needs a newer metricreg than {running}, which reads up to "
            f"version {VERSION}: pip install --upgrade {wanted}"
        )
        raise SpecError([Problem("/version", message)])


def _version_of(document: Any) -> int:
    """The version that a document states; this one if it states none, or something that is no version."""
    stated = document.get("version") if isinstance(document, dict) else None
    if isinstance(stated, bool) or not isinstance(stated, int | float) or stated != int(stated):
        return VERSION
    return int(stated)


def _stated(document: Document) -> str:
    """What a document says of the metricreg that it needs."""
    requires = document.get("requires")
    stated = requires.items() if isinstance(requires, dict) else ()
    own = (text for name, text in stated if canonicalize_name(name) == OWN_DISTRIBUTION)
    return cut(next((text for text in own if isinstance(text, str)), ""))
