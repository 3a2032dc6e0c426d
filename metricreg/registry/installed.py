"""What is installed: each entry point of the group `metricreg` once, with the distribution that declares it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from packaging.utils import canonicalize_name

from metricreg.errors import SHOWN, said, said_by
from metricreg.registry.entry import OWN_DISTRIBUTION

GROUP = "metricreg"
UNKNOWN_DISTRIBUTION, UNKNOWN_VERSION = "(unknown distribution)", "(unknown version)"


@dataclass(frozen=True)
class Plugin:
    """A plugin that is yet to be loaded.

    Args:
        name: its namespace.
        load: imports it, and gives the module or object that has the hooks.
        target: what is imported, `package.module` or `package.module:attribute`; empty if it was given as an object.
        distribution: the distribution that declares it.
        version: the version of that.
        requires: what that requires, as its metadata have it.
        problem: why it cannot even be loaded, in a sentence.
        mend: what to do about that, or about the warnings.
        warnings: what else is wrong with how it is installed.
    """

    name: str
    load: Callable[[], object]
    target: str = ""
    distribution: str = UNKNOWN_DISTRIBUTION
    version: str = UNKNOWN_VERSION
    requires: tuple[str, ...] = ()
    problem: str | None = None
    mend: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether it is the plugin of what metricreg ships."""
        return self.name == OWN_DISTRIBUTION and canonicalize_name(self.distribution) == OWN_DISTRIBUTION

    @property
    def module(self) -> str:
        """The module that is imported."""
        return self.target.partition("[")[0].partition(":")[0].strip()

    def unmet_requirement(self) -> tuple[str, str] | None:
        """The requirement on metricreg that the running version does not meet, and what mends that."""
        if self.is_own or not any("metricreg" in text.lower() for text in self.requires):
            return None
        from packaging.requirements import Requirement  # half of what importing this module would cost
        from packaging.version import Version

        running = Version(_own_version())
        for text in self.requires:
            try:
                requirement = Requirement(text)
                if canonicalize_name(requirement.name) != OWN_DISTRIBUTION:
                    continue
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                    continue
            except ValueError:  # not a requirement, or a marker that means nothing here
                continue
            versions = {running, Version(running.base_version)} if running.is_devrelease else {running}
            if not any(requirement.specifier.contains(v, prereleases=True) for v in versions):
                wanted = f"{requirement.name}{requirement.specifier}"
                lower = [s.version for s in requirement.specifier if s.operator in (">=", ">", "==", "~=")]
                is_older = any(Version(v.removesuffix(".*")) > running for v in lower)
                mend = f"pip install -U '{wanted}'" if is_older else f"pip install -U {self.distribution}"
                return f"it requires {wanted}, and metricreg {running} is running", mend
        return None


@lru_cache(maxsize=1)
def _own_version() -> str:
    from importlib.metadata import version

    return version(OWN_DISTRIBUTION)


def installed_plugins(path: list[str] | None = None) -> list[Plugin]:
    """The plugins that are installed, each once.

    A distribution may have several records: on two entries of `sys.path`, or an egg-info beside its dist-info. The
    first one that has a name counts, as it does for Python.

    Args:
        path: where to look, in the place of `sys.path`.
    """
    where: dict[str, Any] = {} if path is None else {"path": path}
    found: dict[tuple[str, str, str], Plugin] = {}
    for record in distributions(**where):
        try:
            text = record.read_text("entry_points.txt") or ""
            points = [p for p in record.entry_points if p.group == GROUP] if GROUP in text else []
        except Exception as error:  # the list of one distribution cannot be read; it may be one of something else
            if GROUP.encode() in getattr(error, "object", GROUP.encode()):
                unreadable = _unreadable(record, f"its entry points cannot be read: {said_by(error)}")
                found[unreadable.distribution, "", ""] = unreadable
            continue
        for plugin in _plugins_of(record, points, where) if points else ():
            is_known = plugin.distribution != UNKNOWN_DISTRIBUTION
            who = canonicalize_name(plugin.distribution) if is_known else _place(record)
            found.setdefault((who, plugin.name, plugin.target), plugin)
    return list(found.values())


def _plugins_of(record: Distribution, points: list[EntryPoint], where: dict[str, Any]) -> Iterator[Plugin]:
    try:
        metadata: Any = record.metadata
        name, version = metadata.get("Name"), metadata.get("Version")
        requires = tuple(record.requires or ())
    except Exception as error:
        problem = f"its metadata cannot be read: {said_by(error)}"
        yield from (_unreadable(record, problem, said(point.name, SHOWN)) for point in points)
        return
    warnings, mend = [], None
    if name:
        for other in distributions(name=name, **where):
            if _place(other) == _place(record):
                break
            if _has_name(other):
                return  # this one is not what Python takes for the distribution
            warnings.append(f"an empty record of {said(name, SHOWN)} at {_place(other)} stands before it on the path")
            mend = f"remove {_place(other)}"
    for point in points:
        yield Plugin(
            said(point.name, SHOWN),
            point.load,
            point.value,
            said(name or UNKNOWN_DISTRIBUTION, SHOWN),
            said(version or UNKNOWN_VERSION, SHOWN),
            requires,
            warnings=tuple(warnings),
            mend=mend,
        )


def _place(record: Distribution) -> str:
    """The folder or file of a record."""
    return said(getattr(record, "_path", record))


def _has_name(record: Distribution) -> bool:
    try:
        metadata: Any = record.metadata
        return bool(metadata.get("Name"))
    except Exception:
        return False


def _unreadable(record: Distribution, problem: str, name: str = "(unknown)") -> Plugin:
    def load() -> object:
        raise AssertionError("it is not loaded")

    place = _place(record)
    distribution, _, version = place.replace("\\", "/").rpartition("/")[2].rpartition(".")[0].partition("-")
    return Plugin(name, load, "", distribution, version or UNKNOWN_VERSION, problem=f"{problem} ({place})")
