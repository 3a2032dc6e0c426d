"""Why a name is not known, and how to mend it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from metricreg.errors import cut
from metricreg.registry.entry import DISTRIBUTION, KINDS, LOCAL_NAMESPACE, OWN_DISTRIBUTION
from metricreg.registry.other_names import instead, name_here

if TYPE_CHECKING:
    from metricreg.registry.registry import Registry
    from metricreg.registry.report import PluginReport


def failure(registry: Registry, name: str) -> BaseException | None:
    """The exception because of which the plugin that owns `name` was left out, if there is one."""
    return next((r.exception for r in _left_out(registry, name) if r.exception is not None), None)


def _left_out(registry: Registry, name: str) -> list[PluginReport]:
    namespace, slash, _ = name.partition("/")
    out = [r for r in registry.reports if r.status != "active"]
    return [r for r in out if (r.name == namespace if slash else r.distribution == r.name == OWN_DISTRIBUTION)]


def explain_unknown(registry: Registry, kind: str, name: str, requires: Mapping[str, str] | None = None) -> str:
    """Why a name is not known, and how to mend it."""
    known = registry.names(kind)
    left_out = _left_out(registry, name)
    if left_out:
        causes = "; ".join(f"{r.name} ({r.distribution} {r.version}) is {r.status}: {r.complaint}" for r in left_out)
        return f"{kind} '{cut(name)}' belongs to a plugin that was left out: {causes}"
    namespace, slash, _ = name.partition("/")
    unknown = f"unknown {kind} '{cut(name)}'"
    if slash and namespace == LOCAL_NAMESPACE:
        return f"{unknown}: 'local/' names exist after metricreg.register(cls) in the same process"
    is_known = any(each.startswith(namespace + "/") for k in KINDS for each in registry.names(k))
    if slash and not is_known and not _called_here(registry, kind, name):
        absent = [d for d in requires or {} if DISTRIBUTION.fullmatch(d) and not _is_installed(d)]
        candidates = [d for d in absent if namespace in re.split(r"[-_.]+", d.lower())] or absent
        install = (
            "pip install " + " ".join(shlex.quote(d + (requires or {})[d]) for d in candidates[:3])
            if candidates
            else f"install the distribution that provides the plugin '{cut(namespace)}'"
        )
        installed = sorted({e.name.partition("/")[0] for e in registry if "/" in e.name})
        close = difflib.get_close_matches(namespace, installed, 1, 0.7)
        mend = f"did you mean '{close[0]}'? If not, {install}" if close else install
        return f"{unknown}: no installed plugin has the namespace '{cut(namespace)}'; {mend}"
    now = registry.now_called(kind, name)
    if now is not None:
        return f"{unknown}; it is called '{now.name}' now"
    return f"{unknown}; {_suggest(kind, name, known, registry)}"


def _suggest(kind: str, name: str, known: tuple[str, ...], registry: Registry) -> str:
    if here := _called_here(registry, kind, name):
        return f"what is called so is {here} here"
    if text := instead(kind, name):
        return text
    others = [k for k in KINDS if k != kind]
    other = next((k for k in others if registry.has(k, name)), None)
    if other is not None:
        return f"'{cut(name)}' is a {other}, not a {kind}; known: {_listed(known)}"
    for other in others:
        if here := _called_here(registry, other, name):
            return f"what is called so is the {other} {here} here, no {kind}; known: {_listed(known)}"
    close = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {_listed(known)}"


def suggest_any(registry: Registry, name: str) -> str:
    """Which components are meant by a name that no kind has: `the loss 'ntxent'`; empty if none comes to mind."""
    here = [(kind, _called_here(registry, kind, name)) for kind in KINDS]
    if found := [f"the {kind} {written}" for kind, written in here if written]:
        return " or ".join(found)
    close = difflib.get_close_matches(name, [known for kind in KINDS for known in registry.names(kind)], 1, 0.6)
    return f"the {next(kind for kind in KINDS if registry.has(kind, close[0]))} '{close[0]}'" if close else ""


def _called_here(registry: Registry, kind: str, name: str) -> str | None:
    classes = {known: registry.entry(kind, known).path.rpartition(":")[2] for known in registry.names(kind)}
    return name_here(kind, name, classes)


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
