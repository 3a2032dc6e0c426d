"""`metricreg bench`: its options, and the table that it prints."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricreg.errors import InputError

if TYPE_CHECKING:
    from metricreg.bench.measurement import Plan

COLUMNS = {
    "spec": "spec",
    "batch": "N",
    "ms": "ms",
    "over_floor": "over floor",
    "over_other": "over other",
    "spread": "±",
    "mib": "MiB",
    "other_ms": "other ms",
    "other_mib": "other MiB",
    "stopped": "",
}
"""What the table has of a row, and its heading."""
OF_OTHER = ("over_other", "other_ms", "other_mib")


def bench(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Spec files, JSON, or names of losses.")],
    batch: Annotated[str, typer.Option(help="Samples N; several, separated by commas, show how cost grows.")] = "1024",
    dim: Annotated[int, typer.Option(help="Features D.")] = 256,
    per_class: Annotated[int, typer.Option(help="Samples of each class.")] = 4,
    classes: Annotated[
        int | None, typer.Option(help="Classes C of losses with class vectors; those of the batch if left out.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of the embeddings.")] = "float32",
    two_views: Annotated[bool, typer.Option(help="Two views of each sample, and no labels.")] = False,
    repeat: Annotated[
        int | None, typer.Option(help="Rounds; until medians are known to 1 % or time is up if left out.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for the rounds of each row, without --repeat.")] = 20.0,
    memory: Annotated[bool, typer.Option(help="Measure memory too, in a process of its own.")] = True,
    against: Annotated[str | None, typer.Option(metavar="SPEC", help="Another spec, run in turn.")] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that one step may take.")] = 600.0,
    memory_limit: Annotated[
        float | None, typer.Option(help="GiB a process may hold; 9/10 of what is free if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="A file for the rows.")] = None,
) -> None:
    """Measure time and memory of specs: a forward and a backward pass on random embeddings."""
    from metricreg.bench.inputs import Inputs
    from metricreg.bench.machine import Machine
    from metricreg.bench.measurement import Plan
    from metricreg.bench.process import Limits

    if repeat is not None and repeat < 1:
        raise InputError(f"--repeat is at least 1; got {repeat}")
    if not (seconds > 0 and time_limit > 0 and (memory_limit is None or memory_limit > 0)):
        raise InputError("--seconds, --time-limit and --memory-limit are more than 0")
    batches = [Inputs(n, dim, per_class, classes, dtype, device, two_views=two_views) for n in _numbers(batch)]
    batches[0].check_device()
    if csv_file is not None:
        _write(csv_file, [])
    limits = Limits.of_this_machine(time_limit) if memory_limit is None else Limits(time_limit, memory_limit)
    plan = Plan(limits, repeat, seconds, memory)
    rows = []
    for row in _rows(specs, batches, plan, against):
        rows.append(row)
        if csv_file is not None:
            _write(csv_file, rows)
    machine = Machine.here(device).as_json()
    if as_json:
        typer.echo(json.dumps({"machine": machine, "rows": rows, "growth": _growth(rows)}, indent=2))
        return
    about = f"D = {dim}, {per_class} per class, {dtype}, torch {machine['torch']}, {machine['threads']} threads"
    typer.echo(f"{machine['name']}, {about}")
    _show(rows, against)


def _numbers(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--batch is a number or several, such as 128,512,2048; got '{text}'") from None
    return list(dict.fromkeys(found))


def _rows(specs: list[str], batches: list[Any], plan: Plan, against: str | None) -> Iterator[dict[str, Any]]:
    from metricreg.bench.given import given_spec
    from metricreg.bench.measurement import measure
    from metricreg.bench.process import Subject

    # all of them are looked at before the first is measured
    subjects = [
        (text, inputs, [Subject.of_spec(given_spec(t, inputs)) for t in (text, against) if t is not None])
        for text in specs
        for inputs in batches
    ]
    for text, inputs, (subject, *others) in subjects:
        try:
            found = measure(subject, inputs, plan, *others)
        except InputError as error:
            named = text if against is None else f"{text} against {against}"
            raise InputError(f"cannot measure {named} on these inputs: {error}") from None
        of = {"spec": text, **inputs.as_json(), "against": against}
        yield of | asdict(found)


def _growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The exponents of time and memory of each spec, where it was measured for several N."""
    from metricreg.bench.growth import exponent

    found = []
    for spec in dict.fromkeys(row["spec"] for row in rows):
        of = [row for row in rows if row["spec"] == spec]
        if len(of) > 1:
            fitted = {key: exponent((row["batch"], row[key]) for row in of) for key in ("ms", "mib")}
            found.append({"spec": spec, "time": fitted["ms"], "memory": fitted["mib"]})
    return found


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    try:
        with file.open("w" if rows else "a", newline="", encoding="utf-8") as stream:
            if not rows:  # whether it can be written is known before anything is measured
                return
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None


def _show(rows: list[dict[str, Any]], against: str | None) -> None:
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = [key for key in COLUMNS if against is not None or key not in OF_OTHER]
    if all(row["stopped"] is None and row["other_stopped"] is None for row in rows):
        shown.remove("stopped")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in shown:
        text = key in ("spec", "stopped")
        table.add_column(COLUMNS[key], overflow="fold", justify="left" if text else "right")
    for row in rows:
        reasons = {"": row["stopped"], "other: ": row["other_stopped"]}
        said = "; ".join(f"{who}{reason}" for who, reason in reasons.items() if reason is not None)
        table.add_row(*(escape(said if key == "stopped" else cell(key, row[key])) for key in shown))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    for fit in _growth(rows):
        powers = {name: fit[name] for name in ("time", "memory") if fit[name] is not None}
        if powers:
            said = ", ".join(f"{name} as N^{power:.2f}" for name, power in powers.items())
            console.print(escape(f"{fit['spec']} grows: {said}"))


def cell(key: str, value: Any) -> str:
    """A value as the table shows it; a dash for none."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if key == "spread":
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
