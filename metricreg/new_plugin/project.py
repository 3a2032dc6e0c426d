"""The files of a new plugin: templates, filled in."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from metricreg.errors import InputError
from metricreg.new_plugin.names import Names
from metricreg.registry.hookspecs import HOOKS

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Starter:
    """The component of its kind that a plugin starts with.

    Args:
        name: its name, and that of its module.
        cls: its class.
        text: what it does.
        slot: where a spec's loss takes it; None if it does not stand in the loss.
    """

    name: str
    cls: str
    text: str
    slot: str | None = None


STARTERS = {
    "distance": Starter("city_block", "CityBlockDistance", "sum of the absolute differences", "distance"),
    "loss": Starter("soft_contrastive", "SoftContrastiveLoss", "contrastive loss with softplus in the place of hinges"),
    "reducer": Starter("clipped_mean", "ClippedMeanReducer", "mean of the values, each at most `cap`", "reducer"),
    "regularizer": Starter(
        "length", "LengthRegularizer", "squared difference of lengths from a wanted one", "embedding_regularizer"
    ),
    "miner": Starter("near", "NearMiner", "all positive pairs, and the negative pairs closer than a distance"),
    "match": Starter("family", "FamilyMatch", "labels belong together whose families are the same", "match"),
}


def files(names: Names, kinds: Iterable[str], metricreg: str) -> dict[str, str]:
    """The text of each file of a plugin, by its path.

    Args:
        names: what it is called.
        kinds: of the components that it starts with; one at least.
        metricreg: the version of metricreg that it is for.
    """
    wanted = list(kinds)
    values = _values(names, wanted, Version(metricreg))
    found = {}
    for tree in ("project", *wanted):
        for template in sorted((TEMPLATES / tree).rglob(f"*{SUFFIX}")):
            path = template.relative_to(TEMPLATES / tree).as_posix().removesuffix(SUFFIX)
            text = template.read_text(encoding="utf-8")
            found[_target(path, names, tree)] = PLACEHOLDER.sub(lambda placeholder: values[placeholder[1]], text)
    return found


def _target(path: str, names: Names, tree: str) -> str:
    """Where a template's text goes in the project."""
    if tree == "project":
        return {"gitignore": ".gitignore"}.get(path, re.sub("^package/", f"{names.package}/", path))
    return f"tests/{path}" if path.startswith("test_") else f"{names.package}/{path}"


def _values(names: Names, kinds: list[str], version: Version) -> dict[str, str]:
    """What stands in the place of each placeholder."""
    starters = {kind: STARTERS[kind] for kind in kinds}
    by_module = sorted(starters.values(), key=lambda starter: starter.name)
    first = next(iter(starters))
    return {
        "distribution": names.distribution,
        "namespace": names.namespace,
        "package": names.package,
        "requires": _compatible(version),
        "summary": _listed([f"a {kind}" for kind in kinds]),
        "hooks": "\n".join(_hook(names, kind, starter) for kind, starter in starters.items()),
        "imports": "\n".join(f"from {names.package}.{each.name} import {each.cls}" for each in by_module),
        "classes": "\n".join(f"        {each.cls}," for each in by_module),
        "spec": json.dumps(spec(names, kinds), indent=2),
        "rows": "\n".join(
            f"| `{names.namespace}/{each.name}` | {kind} | {each.text} |" for kind, each in starters.items()
        ),
        "first": f"{first} {names.namespace}/{starters[first].name}",
    }


def spec(names: Names, kinds: Iterable[str]) -> dict[str, Any]:
    """A spec that uses the component of each kind."""
    called = {kind: f"{names.namespace}/{STARTERS[kind].name}" for kind in kinds}
    slots = {STARTERS[kind].slot: name for kind, name in called.items() if STARTERS[kind].slot}
    loss = {"name": called.get("loss", "contrastive"), **slots}
    miner = {"miner": called["miner"]} if "miner" in called else {}
    return {"loss": loss, **miner, "requires": {names.distribution: ">=0.1,<1"}}


def _hook(names: Names, kind: str, starter: Starter) -> str:
    hook = HOOKS[kind]
    return f'''

@hookimpl
def {hook}() -> dict[str, str]:
    """{hook.removeprefix("metricreg_").capitalize()} by name."""
    return {{"{starter.name}": "{names.package}.{starter.name}:{starter.cls}"}}'''


def _compatible(version: Version) -> str:
    """The versions of metricreg from this one on that have the same interface."""
    lowest = str(version) if version.is_prerelease else f"{version.major}.{version.minor}"
    return f">={lowest},<{version.major + 1}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Write files to a new folder: all of them, or none.

    Raises:
        InputError: the folder exists, or cannot be written.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder} is already there, and nothing is overwritten; choose another name, or --directory")
    if not folder.parent.is_dir():
        raise InputError(f"there is no folder {folder.parent}; make it first")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for path, text in texts.items():
            file = unfinished / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        unfinished.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
