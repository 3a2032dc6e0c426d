"""`metricreg validate` and `schema`: what a spec says, and what it may say."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from metricreg.cli.console import Json, complain, dump
from metricreg.cli.output import say
from metricreg.errors import Problem, SpecError


def validate(
    files: Annotated[list[Path], typer.Argument(help="Specs, or experiment files: .json, .toml, .yaml.")],
    as_json: Json = False,
) -> None:
    """Check specs, and list every problem with its JSON pointer. Exits with 1 if there is any."""
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
        dump(
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
            valid = "valid, as far as it could be checked" if notes.get(name) else "valid"
            say(f"{name}: " + (f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else valid))
            for problem in problems:
                say(f"  {problem}")
            for note in (*notes.get(name, []), *renamed.get(name, [])):
                say(f"  note: {note}")
            if renamed.get(name):
                say(f"  note: metricreg migrate {shlex.quote(name)} writes the names of now")
    if any(found.values()):
        raise typer.Exit(1)


def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write; printed if left out.")] = None,
) -> None:
    """Print the JSON Schema of specs, with every installed component; for editors."""
    from metricreg.spec.json_schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        say(text, end="")
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        complain(f"cannot write {output}: {error.strerror}")
        raise typer.Exit(1) from None
