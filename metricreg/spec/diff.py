"""`diff`: what differs between two specs, every default written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from metricreg.components.component import specs_of
from metricreg.components.validation_errors import pointer, shown
from metricreg.errors import SHOWN, cut, printable
from metricreg.registry import Registry, default_registry
from metricreg.spec.spec import ExecutionSpec, parse
from metricreg.spec.versions import VERSION


@dataclass(frozen=True)
class Difference:
    """One place at which two documents differ.

    Args:
        pointer: JSON pointer to it.
        change: `changed`; or `added`, in the second alone; or `removed`, in the first alone.
        old: what the first has there; None if nothing.
        new: what the second has there; None if nothing.
    """

    pointer: str
    change: Literal["changed", "added", "removed"]
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        what = {
            "changed": f"{shown(self.old)} -> {shown(self.new)}",
            "added": f"added {shown(self.new)}",
            "removed": f"removed {shown(self.old)}",
        }
        return printable(f"{cut(self.pointer, 3 * SHOWN) or '(top level)'}: {what[self.change]}")


def diff(a: Any, b: Any, *, registry: Registry | None = None) -> tuple[Difference, ...]:
    """What differs between two specs once every default is written out; empty if they say the same.

    So a parameter that is left out is the same as its default, a name the same as an object with it alone, and a former
    name the same as that of now.

    Args:
        a: a dict, such as `load` returns.
        b: another.
        registry: where names are looked up; the default registry if None.

    Raises:
        SpecError: one of the two is no valid spec.
    """
    return tuple(differences(with_defaults(a, registry), with_defaults(b, registry)))


def with_defaults(spec: Any, registry: Registry | None = None) -> dict[str, Any]:
    """A spec with every default written out. Components are constructed on the meta device, if they can be.

    Raises:
        SpecError: listing every problem of the spec.
    """
    registry = default_registry() if registry is None else registry
    parsed, _ = parse(spec, registry)
    parts: Any = {
        name: part.construct((name,)) if part.specimen is None else part.specimen for name, part in parsed.parts.items()
    }
    execution = parsed.execution or ExecutionSpec(plan="auto", tile=None, distributed="auto", gradient="ddp")
    return {
        "version": VERSION,
        "miner": None,
        **specs_of(parts, registry, defaults=True),
        "requires": parsed.requires,
        "execution": execution.model_dump(),
    }


def differences(old: Any, new: Any, path: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    """What differs between two documents of plain data."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _of_member(old, new, key, path, key in old, key in new)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        for at in range(max(len(old), len(new))):
            yield from _of_member(old, new, at, path, at < len(old), at < len(new))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield Difference(pointer(path), "changed", old, new)


def _of_member(
    old: Any, new: Any, key: Any, path: tuple[str | int, ...], in_old: bool, in_new: bool
) -> Iterator[Difference]:
    if in_old and in_new:
        yield from differences(old[key], new[key], (*path, key))
    elif in_new:
        yield Difference(pointer((*path, key)), "added", new=new[key])
    else:
        yield Difference(pointer((*path, key)), "removed", old=old[key])
