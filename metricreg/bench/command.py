"""`metricreg bench`: its options, and the table that it prints."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from metricreg.errors import InputError

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
    from metricreg.bench.inputs import Inputs, fit
    from metricreg.bench.measurement import exponent, machine, measure
    from metricreg.bench.steps import spec_step

    if repeat is not None and repeat < 1:
        raise InputError(f"--repeat is at least 1; got {repeat}")
    if not (seconds > 0 and time_limit > 0 and (memory_limit is None or memory_limit > 0)):
        raise InputError("--seconds, --time-limit and --memory-limit are more than 0")
    try:
        sizes = list(dict.fromkeys(map(int, batch.split(","))))
    except ValueError:
        raise InputError(f"--batch is a number or several, such as 128,512,2048; got '{batch}'") from None
    batches = [Inputs(n, dim, per_class, classes, dtype, device, two_views=two_views) for n in sizes]
    batches[0].check_device()
    if csv_file is not None:
        _write(csv_file, [])  # whether it can be written is known before anything is measured
    # all specs are looked at before the first is measured
    fitted = [(text, *fit(text, inputs)) for text in specs for inputs in batches]
    others = [None if against is None else fit(against, inputs)[0] for _, _, inputs in fitted]
    rows: list[dict[str, Any]] = []
    for (text, spec, inputs), other in zip(fitted, others, strict=True):
        try:
            beside = None if other is None else partial(spec_step, spec=other)
            found = measure(
                partial(spec_step, spec=spec),
                inputs,
                beside,
                rounds=repeat,
                seconds=seconds,
                memory=memory,
                time_limit=time_limit,
                memory_limit=memory_limit,
            )
        except InputError as error:
            named = text if against is None else f"{text} against {against}"
            raise InputError(f"cannot measure {named} on these inputs: {error}") from None
        rows.append({"spec": text, **asdict(inputs), "against": against, **found})
        if csv_file is not None:
            _write(csv_file, rows)
    growth = []
    for text in dict.fromkeys(specs) if len(sizes) > 1 else ():
        of = [row for row in rows if row["spec"] == text]
        time, peak = (exponent((row["batch"], row[key]) for row in of) for key in ("ms", "mib"))
        growth.append({"spec": text, "time": time, "memory": peak})
    here = machine(device)
    if as_json:
        typer.echo(json.dumps({"machine": here, "rows": rows, "growth": growth}, indent=2))
        return
    about = f"D = {dim}, {per_class} per class, {dtype}, torch {here['torch']}, {here['threads']} threads"
    typer.echo(f"{here['name']}, {about}")
    _show(rows, growth, against)


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    try:
        with file.open("w" if rows else "a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]) if rows else ())
            if rows:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None


def _show(rows: list[dict[str, Any]], growth: list[dict[str, Any]], against: str | None) -> None:
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for row in rows:
        reasons = {"": row["stopped"], "other: ": row["other_stopped"]}
        row["stopped"] = "; ".join(f"{who}{reason}" for who, reason in reasons.items() if reason is not None)
    shown = [key for key in COLUMNS if against is not None or "other" not in key]
    shown = [key for key in shown if key != "stopped" or any(row["stopped"] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in shown:
        table.add_column(COLUMNS[key], overflow="fold", justify="left" if key in ("spec", "stopped") else "right")
    for row in rows:
        table.add_row(*(escape(_cell(key, row[key])) for key in shown))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    for of in growth:
        powers = [f"{name} as N^{of[name]:.2f}" for name in ("time", "memory") if of[name] is not None]
        if powers:
            console.print(escape(f"{of['spec']} grows: {', '.join(powers)}"))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if key == "spread":
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
