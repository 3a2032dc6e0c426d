"""The commands, and the console script that runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from metricreg.cli.bench import bench
from metricreg.cli.components import describe, list_components
from metricreg.cli.console import complain, errors
from metricreg.cli.doctor import doctor
from metricreg.cli.explain import explain
from metricreg.cli.new_plugin import new_plugin
from metricreg.cli.plugins import plugins
from metricreg.cli.specs import schema, validate
from metricreg.cli.train import train
from metricreg.cli.versions import diff, lock, migrate

app = typer.Typer(
    help="Deep metric learning objectives from JSON specs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Deep metric learning objectives from JSON specs."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"metricreg {installed('metricreg')}")
        raise typer.Exit


def _add(name: str, command: Callable[..., None], **handling: Any) -> None:
    """Add a command, with `errors` around it."""

    @app.command(name)
    @wraps(command)
    def guarded(*given: Any, **options: Any) -> None:
        with errors(**handling):
            command(*given, **options)


_add("list", list_components)
_add("describe", describe)
_add("validate", validate)
_add("schema", schema)
_add("plugins", plugins, left_out=False)  # what it prints says the same
_add("doctor", doctor, left_out=False)
_add("train", train, devices=True)
_add("lock", lock)
_add("migrate", migrate)
_add("diff", diff, status=2)
_add("explain", explain, devices=True)
_add("bench", bench, devices=True)
_add("new-plugin", new_plugin)


def run() -> None:
    """The console script: `app`, on any terminal, and with an error where the output could not be written."""
    if sys.stdout is None:  # closed by the caller, who then wants none
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    for each in (sys.stdout, sys.stderr):
        if isinstance(each, TextIOWrapper):
            each.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
            sys.stdout = sys.stderr  # for what a plugin prints when the process ends
            with suppress(OSError):
                os.dup2(2, 1)
    except OSError as error:
        complain(f"the output could not be written: {error.strerror or error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        sys.exit(1)
