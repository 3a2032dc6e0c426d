"""The command line: what is installed, what a spec says and takes, and training from an experiment file."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metricreg.bench.command import bench
from metricreg.doctor.command import doctor
from metricreg.errors import MetricregError, PluginWarning, Problem, RenamedWarning, SpecError, cut, printable, said
from metricreg.explanation.command import explain
from metricreg.new_plugin.command import new_plugin
from metricreg.output import kept, say, stream
from metricreg.registry import KINDS, default_registry
from metricreg.spec_commands import diff, lock, migrate

app = typer.Typer(
    help="Deep metric learning objectives from JSON specs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _console(width: int) -> Console:
    out = stream()
    return Console(file=out, width=None if out.isatty() else width, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _shown(text: str) -> str:
    """A text of somebody else's for a console: no control characters, and nothing that looks like markup is."""
    return "\n".join(escape(printable(line)) for line in text.split("\n"))


def _complain(text: str, colour: str = "red") -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[{colour}]{_shown(text)}[/{colour}]")


@contextmanager
def _errors(left_out: bool = True, devices: bool = False, status: int = 1) -> Iterator[None]:
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
            _complain(where + said(message, 2000), "yellow")

        warnings.showwarning = line
        try:
            yield
        except MetricregError as error:
            _complain(str(error))
            raise typer.Exit(status) from None


def _dump(data: Any) -> None:
    say(json.dumps(data, indent=2))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Deep metric learning objectives from JSON specs."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"metricreg {installed('metricreg')}")
        raise typer.Exit


def _singular(kind: str) -> str:
    """The kind that is meant, if it is given in the plural."""
    return next((each for each in KINDS if kind in (each + "s", each + "es")), kind)


def _kind_of(name: str) -> tuple[str, str]:
    """The kind of a component that is given by its name alone, and the name.

    Raises:
        SpecError: no kind has it, or several have.
    """
    kind, registry = _singular(name), default_registry()
    if kind in KINDS:
        raise SpecError(f"which {kind}? metricreg describe {kind} NAME; metricreg list {kind} lists them", "")
    having = [kind for kind in KINDS if name in registry.names(kind)]
    having = having or [kind for kind in KINDS if registry.now_called(kind, name)]
    if len(having) == 1:
        return having[0], name
    if having:
        ways = " or ".join(f"metricreg describe {kind} {name}" for kind in having)
        raise SpecError(f"'{name}' is the name of a {' and of a '.join(having)}: {ways}", "")
    raise SpecError(f"no kind has a component '{cut(name)}'; metricreg list shows all", "")


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; all if left out.")] = None,
    as_json: Json = False,
) -> None:
    """List the installed components. Imports none of them."""
    with _errors():
        registry = default_registry()
        kind = None if kind is None else _singular(kind)
        if kind is not None:
            registry.names(kind)  # refuses an unknown kind
        entries = [entry for entry in registry if kind in (None, entry.kind)]
        if as_json:
            _dump([{"kind": e.kind, "name": e.name, "class": e.path, "distribution": e.distribution} for e in entries])
            return
        table = _table("kind", "name", "distribution", "class")
        for e in entries:
            table.add_row(e.kind, e.name, _shown(e.distribution), _shown(e.path))
        _console(160).print(table)


@app.command()
def describe(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}; or a name that only one kind has.")],
    name: Annotated[str | None, typer.Argument(help="Of a component, as `metricreg list` shows it.")] = None,
    as_json: Json = False,
) -> None:
    """Describe a component: what it computes, its parameters with types, ranges and defaults, and a spec of it."""
    with _errors():
        from metricreg.spec.describe import describe as described

        found = described(*(_kind_of(kind) if name is None else (_singular(kind), name)))
        if as_json:
            _dump(found.as_json())
            return
        console = _console(120)
        origin = _shown(f"({found.path}, {found.distribution})")
        console.print(f"[bold]{found.kind} {found.name}[/bold]  {origin}\n")
        console.print(_shown(found.text) + "\n")
        if found.parameters:
            table = _table("parameter", "type", "default", "")
            for p in found.parameters:
                table.add_row(p.name, _shown(p.type), _shown(p.default), _shown(p.text))
            console.print(table)
        console.print("\n[bold]In a spec[/bold]  " + _shown(json.dumps(found.example)))
        formers = [*found.former_names, *(f"{f} ({p.name})" for p in found.parameters for f in p.former_names)]
        if formers:
            console.print("[bold]Formerly[/bold]   " + _shown(", ".join(formers)))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Specs, or experiment files: .json, .toml, .yaml.")],
    as_json: Json = False,
) -> None:
    """Check specs, and list every problem with its JSON pointer. Exits with 1 if there is any."""
    with _errors():
        from metricreg.components.renamed import Renaming
        from metricreg.spec.document import load, spec_in
        from metricreg.spec.spec import validate as check

        found: dict[str, list[Problem]] = {}
        notes: dict[str, list[Problem]] = {}
        renamed: dict[str, list[Renaming]] = {}
        for file in files:
            try:
                document = load(file)
                spec, inside = spec_in(document)
                if inside:
                    from metricreg.training.experiment import Experiment

                    Experiment.parse(document)
                report = check(spec)
            except SpecError as error:
                found[str(file)] = list(error.problems)
                continue
            found[str(file)] = list(report.problems)
            notes[str(file)] = [Problem(inside + p.pointer, p.message, p.given) for p in report.unchecked]
            renamed[str(file)] = [replace(each, pointer=inside + each.pointer) for each in report.renamed]
    if as_json:
        _dump(
            {
                file: {
                    "problems": [vars(problem) for problem in problems],
                    "unchecked": [vars(note) for note in notes.get(file, [])],
                    "renamed": [vars(each) for each in renamed.get(file, [])],
                }
                for file, problems in found.items()
            }
        )
    else:
        for name, problems in found.items():
            say(f"{name}: " + (f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "valid"))
            for problem in problems:
                say(f"  {problem}")
            for note in (*notes.get(name, []), *renamed.get(name, [])):
                say(f"  note: {note}")
            if renamed.get(name):
                say(f"  note: metricreg migrate {shlex.quote(name)} writes the names of now")
    if any(found.values()):
        raise typer.Exit(1)


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write; printed if left out.")] = None,
) -> None:
    """Print the JSON Schema of specs, with every installed component; for editors."""
    with _errors():
        from metricreg.spec.json_schema import json_schema

        text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
        if output is None:
            say(text, end="")
            return
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            _complain(f"cannot write {output}: {error.strerror}")
            raise typer.Exit(1) from None


@app.command("plugins")
def plugins_(as_json: Json = False) -> None:
    """List the installed plugins: status, version, components, load time, and what is wrong. Exits with 1 if it is."""
    with _errors(left_out=False):  # the table says the same
        registry = default_registry()
        reports = registry.reports
        if as_json:
            fields = (
                "name",
                "status",
                "distribution",
                "version",
                "components",
                "seconds",
                "problem",
                "mend",
                "warnings",
            )
            _dump([{field: getattr(report, field) for field in fields} for report in reports])
        else:
            table = _table("plugin", "status", "distribution", "components", "ms", "problem")
            for r in reports:
                colour = (
                    "dim" if r.status == "blocked" else "green" if r.ok else "yellow" if r.status == "active" else "red"
                )
                table.add_row(
                    _shown(r.name),
                    f"[{colour}]{r.status}[/]",
                    _shown(f"{r.distribution} {r.version}"),
                    str(len(r.components)),
                    f"{1000 * r.seconds:.1f}",
                    _shown(r.complaint),
                )
            _console(160).print(table)
        for note in registry.notes:
            _complain(note, "yellow")
        if registry.notes or not all(report.ok for report in reports):
            raise typer.Exit(1)


@app.command("doctor")
@wraps(doctor)
def doctor_(*given: Any, **options: Any) -> None:
    """Like `doctor`, which says what the options are."""
    with _errors(left_out=False):
        doctor(*given, **options)


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment file: .json, .toml, .yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder for results; runs/<experiment> if left out.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in the output folder.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Empty the output folder first.")] = False,
) -> None:
    """Train an embedding as an experiment file says, and measure retrieval on held-out data before and after."""
    with _errors(devices=True):
        from metricreg.training.run import run

        run(experiment, output, resume=resume, overwrite=overwrite, report=say)


@app.command("lock")
@wraps(lock)
def lock_(*given: Any, **options: Any) -> None:
    """Like `lock`, which says what the options are."""
    with _errors():
        lock(*given, **options)


@app.command("migrate")
@wraps(migrate)
def migrate_(*given: Any, **options: Any) -> None:
    """Like `migrate`, which says what the options are."""
    with _errors():
        migrate(*given, **options)


@app.command("diff")
@wraps(diff)
def diff_(*given: Any, **options: Any) -> None:
    """Like `diff`, which says what the options are."""
    with _errors(status=2):
        diff(*given, **options)


@app.command("explain")
@wraps(explain)
def explain_(*given: Any, **options: Any) -> None:
    """Like `explain`, which says what the options are."""
    with _errors(devices=True):
        explain(*given, **options)


@app.command("bench")
@wraps(bench)
def bench_(*given: Any, **options: Any) -> None:
    """Like `bench`, which says what the options are."""
    with _errors(devices=True):
        bench(*given, **options)


@app.command("new-plugin")
@wraps(new_plugin)
def new_plugin_(*given: Any, **options: Any) -> None:
    """Like `new_plugin`, which says what the options are."""
    with _errors():
        new_plugin(*given, **options)


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
        _complain(f"the output could not be written: {error.strerror or error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        sys.exit(1)


if __name__ == "__main__":
    run()
