"""What all commands do: tables and messages, and errors that a user can mend as a message."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metricreg.cli.output import kept, say, stream
from metricreg.errors import MetricregError, PluginWarning, RenamedWarning, printable, said
from metricreg.registry import KINDS

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def singular(kind: str) -> str:
    """The kind that is meant, if it is given in the plural."""
    return next((each for each in KINDS if kind in (each + "s", each + "es")), kind)


def console_of(width: int) -> Console:
    """A console on standard output: as wide as the terminal, or of so many columns where there is none."""
    out = stream()
    return Console(file=out, width=None if out.isatty() else width, highlight=False)


def table_of(*columns: str) -> Table:
    """An empty table of columns that fold what is long."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def shown(text: str) -> str:
    """A text of somebody else's for a console: no control characters, and nothing that looks like markup is."""
    return "\n".join(escape(printable(line)) for line in text.split("\n"))


def complain(text: str, colour: str = "red") -> None:
    """Print a message to standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[{colour}]{shown(text)}[/{colour}]")


@contextmanager
def errors(left_out: bool = True, devices: bool = False, status: int = 1) -> Iterator[None]:
    """Print what a user can mend as a message, and exit on errors. Output is what the command itself prints.

    Args:
        left_out: print a line for each plugin that something is wrong with.
        devices: the command uses devices other than the CPU, and torch has to load the backends that are installed.
        status: the exit code on errors.
    """
    if not devices:  # both read the entry points of everything that is installed, and fail where one cannot be read
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with warnings.catch_warnings(), kept():
        if not left_out:
            warnings.simplefilter("ignore", PluginWarning)
        warnings.simplefilter("default", RenamedWarning)  # a line, also where warnings are errors
        renamed = set[str]()

        def line(message: Any, category: Any, filename: str, lineno: int, *rest: Any, **more: Any) -> None:
            if category is RenamedWarning and str(message) in renamed:
                return  # a command may build a spec several times
            renamed.add(str(message))
            is_ours = category in (PluginWarning, RenamedWarning)
            where = "" if is_ours else f"{filename}:{lineno}: {category.__name__}: "
            complain(where + said(message, 2000), "yellow")

        warnings.showwarning = line
        try:
            yield
        except MetricregError as error:
            complain(str(error))
            raise typer.Exit(status) from None


def dump(data: Any) -> None:
    """Print data as JSON."""
    say(json.dumps(data, indent=2))
