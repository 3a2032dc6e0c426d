"""`metricreg bench`: its options, and the table that it prints."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from metricreg.cli.console import Json, dump
from metricreg.cli.output import say
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
    repeat: Annotated[int | None, typer.Option(min=1, help="Rounds; 15, and fewer of long steps, if left out.")] = None,
    against: Annotated[str | None, typer.Option(metavar="SPEC", help="Another spec, run in turn.")] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that one step may take.")] = 600.0,
    memory_limit: Annotated[
        float | None, typer.Option(help="GiB a process may hold; 9/10 of what is free if left out.")
    ] = None,
    as_json: Json = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="A file for the rows.")] = None,
) -> None:
    """Measure time and memory of specs: a forward and a backward pass on random embeddings."""
    from metricreg.bench.inputs import Inputs, fit
    from metricreg.bench.measurement import exponent, machine, measure
    from metricreg.bench.steps import spec_step

    try:
        sizes = list(dict.fromkeys(map(int, batch.split(","))))
    except ValueError:
        raise InputError(f"--batch is a number or several, such as 128,512,2048; got '{batch}'") from None
    batches = [Inputs(n, dim, per_class, classes, dtype, device) for n in sizes]
    batches[0].check_device()
    # all specs are looked at, and the file is opened, before the first is measured
    fitted = [(text, *fit(text, inputs)) for text in specs for inputs in batches]
    others = [None if against is None else fit(against, inputs)[0] for _, _, inputs in fitted]
    rows: list[dict[str, Any]] = []
    with nullcontext() if csv_file is None else _opened(csv_file) as stream:
        for (text, spec, inputs), other in zip(fitted, others, strict=True):
            beside = None if other is None else partial(spec_step, spec=other)
            step = partial(spec_step, spec=spec)
            try:
                found = measure(step, inputs, beside, rounds=repeat, time_limit=time_limit, memory_limit=memory_limit)
            except InputError as error:
                named = text if against is None else f"{text} against {against}"
                raise InputError(f"cannot measure {named} on these inputs: {error}") from None
            rows.append({"spec": text, **asdict(inputs), "against": against, **found})
            if stream is not None:
                writer = csv.DictWriter(stream, list(rows[0]))
                if len(rows) == 1:
                    writer.writeheader()
                writer.writerow(rows[-1])
                stream.flush()
    growth = []
    for text in dict.fromkeys(specs) if len(sizes) > 1 else ():
        of = [row for row in rows if row["spec"] == text]
        time, peak = (exponent((row["batch"], row[key]) for row in of) for key in ("ms", "mib"))
        growth.append({"spec": text, "time": time, "memory": peak})
    here = machine(device)
    if as_json:
        dump({"machine": here, "rows": rows, "growth": growth})
        return
    about = f"D = {dim}, {per_class} per class, {dtype}, torch {here['torch']}, {here['threads']} threads"
    say(f"{here['name']}, {about}")
    _show(rows, against)
    for grown in growth:
        powers = [f"{name} as N^{grown[name]:.2f}" for name in ("time", "memory") if grown[name] is not None]
        if powers:
            say(f"{grown['spec']} grows: {', '.join(powers)}")


def _opened(file: Path) -> IO[str]:
    try:
        return file.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None


def _show(rows: list[dict[str, Any]], against: str | None) -> None:
    keys = [key for key in COLUMNS if against is not None or "other" not in key]
    table = [[COLUMNS[key] for key in keys], *([_cell(key, row[key]) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        name, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        say("  ".join([name.strip().ljust(widths[0]), *others]).rstrip())
    for row in rows:
        for who, why in ((row["spec"], row["stopped"]), (against, row["other_stopped"])):
            if why is not None:
                say(f"{who} at N = {row['batch']}: {why}")


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if key == "spread":
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
