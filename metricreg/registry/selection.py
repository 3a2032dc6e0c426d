"""Which plugins are loaded: all but those that are blocked, or only those that are named."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from metricreg.errors import SHOWN, said
from metricreg.registry.installed import Plugin

DISTRIBUTION_PREFIX = "dist:"


@dataclass(frozen=True)
class Selection:
    """Words that name plugins: a namespace, or `dist:NAME` for a distribution.

    Args:
        block: plugins that are not even imported.
        only: the only plugins beside metricreg's own that are; all if None.
        names: what the two are called where they come from.
    """

    block: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    names: tuple[str, str] = ("block", "only")

    @classmethod
    def of(cls, block: Iterable[str] = (), only: Iterable[str] | None = None) -> Selection:
        """Of words as they are written."""
        return cls(_words(block), None if only is None else _words(only))

    @classmethod
    def from_environment(cls) -> Selection:
        """Of METRICREG_BLOCK and METRICREG_ONLY, words separated by commas."""
        names = ("METRICREG_BLOCK", "METRICREG_ONLY")
        block, only = (_words(os.environ.get(name, "").split(",")) for name in names)
        return cls(block, only or None, names)

    def why_not(self, plugin: Plugin) -> str | None:
        """Why a plugin is not loaded; None if it is."""
        its = {plugin.name, _of_distribution(plugin.distribution)}
        if self.block & its:
            return f"blocked by {self.names[0]}"
        if self.only is not None and not plugin.is_own and not self.only & its:
            return f"not named by {self.names[1]}"
        return None

    def unknown(self, plugins: Sequence[Plugin]) -> list[str]:
        """A sentence about each word that names no plugin."""
        known = {plugin.name for plugin in plugins}
        known |= {_of_distribution(plugin.distribution) for plugin in plugins}
        found = []
        for name, words in zip(self.names, (self.block, self.only or frozenset()), strict=True):
            for word in sorted(words - known):
                close = difflib.get_close_matches(word, sorted(known), 1, 0.6)
                hint = f"did you mean '{close[0]}'?" if close else "`metricreg plugins` shows what is installed"
                what = "distribution with a plugin" if word.startswith(DISTRIBUTION_PREFIX) else "plugin"
                found.append(f"{name} names '{said(word, SHOWN)}', and no {what} is called so; {hint}")
        return found


def _words(given: Iterable[str]) -> frozenset[str]:
    given = [given] if isinstance(given, str) else given
    words = {word.strip() for word in given} - {""}
    return frozenset(
        _of_distribution(word.removeprefix(DISTRIBUTION_PREFIX)) if word.startswith(DISTRIBUTION_PREFIX) else word
        for word in words
    )


def _of_distribution(name: str) -> str:
    return DISTRIBUTION_PREFIX + canonicalize_name(name)
