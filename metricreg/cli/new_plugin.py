"""`metricreg new-plugin`: its options, and what it says to do next."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from metricreg.cli.console import singular
from metricreg.cli.output import say
from metricreg.errors import SHOWN, InputError, said
from metricreg.registry import KINDS


def new_plugin(
    name: Annotated[str, typer.Argument(help="What it is called on PyPI, such as metricreg-acme.")],
    kinds: Annotated[
        str, typer.Option("--with", metavar="KIND,...", help=f"What it starts with: {', '.join(KINDS)}, or several.")
    ] = "loss",
    directory: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path(),
) -> None:
    """Write the project of a new plugin: typed, tested, with a component of each kind that is wanted."""
    from metricreg.new_plugin.names import names_of
    from metricreg.new_plugin.project import STARTERS, files, write

    wanted = _kinds(kinds)
    names = names_of(name)
    folder = directory / names.distribution
    write(files(names, wanted, version("metricreg")), folder)
    components = ", ".join(f"{names.namespace}/{STARTERS[kind].name} ({kind})" for kind in wanted)
    say(f"Wrote {folder}, a plugin with {components}. Next:\n")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "pip install -e '.[test]'",
        "pytest",
        "metricreg validate spec.json",
    ):
        say(f"  {line}")


def _kinds(given: str) -> list[str]:
    """The kinds that are listed with commas, singular or plural, each once."""
    kinds = [singular(word.strip()) for word in given.split(",")]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InputError(
            f"--with takes kinds of components, separated by commas: {', '.join(KINDS)}; got "
            f"'{said(unknown[0], SHOWN)}'"
        )
    return list(dict.fromkeys(kinds))
