"""Runs suites of measurements, and keeps what they find in benchmarks/results/<suite>-<machine>.csv.

    python -m benchmarks.run issue small

Rows that are there already are kept, so a run that was cut off goes on where it was; `--again` measures them anew.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import composition
from benchmarks.peers import inputs_of, ours, peer, pml_version
from benchmarks.result_file import FOLDER, ResultFile
from benchmarks.suites import SUITES, Row, quick
from metricreg.bench.inputs import Inputs
from metricreg.bench.machine import Machine
from metricreg.bench.measurement import Measurement, Plan, measure
from metricreg.bench.process import Limits, StoppedError, WorkerProcess
from metricreg.bench.turns import Series, in_turn, ratios, spread
from metricreg.errors import MetricregError

KEYS = ("loss", "n", "dim", "per_class", "classes", "dtype", "device")
COMPOSITION = "composition"
ROUNDS = 60
"""Of a comparison, whose two sides hardly differ."""
PRINTED = (*KEYS[:5], "ms", "over_floor", "over_pml", "mib", "pml_mib", "stopped", "pml_stopped")
SMALLER = ("over ", "out of memory", "killed")
"""What a row says that was stopped for its size, so that a larger one need not be tried."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("suites", nargs="+", choices=[*SUITES, COMPOSITION], metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there already")
    parser.add_argument("--quick", action="store_true", help="few rows, made small, in a folder of their own")
    parser.add_argument("--results", type=Path, help="the folder for the CSV files")
    parser.add_argument("--loss", type=_names, help="only these, separated by commas")
    parser.add_argument("--batch", type=_numbers, help="only these N")
    parser.add_argument("--dim", type=_numbers, help="only these D")
    parser.add_argument("--per-class", type=_numbers, help="only these numbers of samples of each class")
    parser.add_argument("--no-pml", action="store_true", help="without pytorch-metric-learning")
    parser.add_argument("--no-memory", action="store_true", help="without memory")
    parser.add_argument("--repeat", type=int, help="rounds; until ratios are known to 1 %% or time is up if left out")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the rounds of a row")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds that a step may take")
    parser.add_argument("--memory-limit", type=float, help="GiB of a process; 9/10 of what is free if left out")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(given: Sequence[str] | None = None) -> None:
    """Run the suites that the command line names."""
    parser = arguments()
    args = parser.parse_args(given)
    try:
        Inputs(1, device=args.device).check_device()
        limits = Limits.of_this_machine(args.time_limit)
        if args.memory_limit is not None:
            limits = replace(limits, gib=args.memory_limit)
        plan = Plan(limits, 1 if args.quick and args.repeat is None else args.repeat, args.seconds)
        folder = args.results or (Path(tempfile.mkdtemp()) if args.quick else FOLDER)
        machine = Machine.here(args.device)
        for suite in args.suites:
            file = folder / f"{suite}-{machine.slug}.csv"
            print(f"{suite} on {machine.name}: {file}", flush=True)
            if suite == COMPOSITION:
                _compose(ResultFile(file, ("what",)), plan, machine, args.again)
            else:
                _measure(ResultFile(file, KEYS), _rows(suite, args), plan, machine, args)
    except MetricregError as error:
        parser.exit(1, f"{error}\n")


def _rows(suite: str, args: argparse.Namespace) -> Iterator[Row]:
    rows = SUITES[suite]()
    for row in quick(rows) if args.quick else rows:
        inputs = replace(inputs_of(row.loss, row.inputs), device=args.device)
        values = (inputs.batch, inputs.dim, inputs.per_class, row.loss)
        asked = (args.batch, args.dim, args.per_class, args.loss)
        if all(some is None or value in some for value, some in zip(values, asked, strict=True)):
            yield replace(row, inputs=inputs)


def _measure(results: ResultFile, rows: Iterator[Row], plan: Plan, machine: Machine, args: argparse.Namespace) -> None:
    for row in rows:
        key = _key(row)
        if results.key(key) in results.rows and not args.again:
            continue
        stopped = {column: _too_large(results, key, column) for column in ("stopped", "pml_stopped")}
        beside = peer(row.loss, row.inputs) if row.peer and not args.no_pml else None
        if row.peer and not args.no_pml and pml_version() is None:
            stopped["pml_stopped"] = "not run: it is not installed"
        elif beside is None:
            stopped["pml_stopped"] = None
        elif stopped["pml_stopped"] is not None:
            beside = None
        if stopped["stopped"] is None:
            of = replace(plan, memory=row.memory and not args.no_memory)
            try:
                found = measure(ours(row.loss, row.inputs), row.inputs, of, beside)
            except MetricregError as error:  # inputs that it does not take; the other rows are measured all the same
                found = Measurement(stopped=str(error))
        else:
            found = Measurement()
        made = key | _figures(found) | {"sync": _sync(row, plan) if row.sync and found.ms is not None else None}
        made |= {column: made[column] or why for column, why in stopped.items()} | _about(machine, found.threads)
        results.add(made)
        print("  ".join(f"{name} {_short(made[name])}" for name in PRINTED), flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _key(row: Row) -> dict[str, Any]:
    inputs = row.inputs
    values = (row.loss, inputs.batch, inputs.dim, inputs.per_class, inputs.known, inputs.dtype, inputs.device)
    return dict(zip(KEYS, values, strict=True))


def _too_large(results: ResultFile, key: dict[str, Any], column: str) -> str | None:
    """Why a row need not be tried: one that differs only in being smaller was stopped."""
    for row in results.rows.values():
        same = all(row[name] == str(key[name]) for name in ("loss", "dim", "per_class", "dtype", "device"))
        smaller = int(row["n"]) <= key["n"] and int(row["classes"]) <= key["classes"]
        why = row.get(column, "")
        if same and smaller and results.key(row) != results.key(key) and why.startswith(SMALLER):
            of = f"N = {int(row['n']):,}" if int(row["n"]) < key["n"] else f"C = {int(row['classes']):,}"
            return f"not run: {why} at {of}"
    return None


def _figures(found: Measurement) -> dict[str, Any]:
    return {
        "ms": found.ms,
        "over_floor": found.over_floor,
        "over_pml": found.over_other,
        "spread": found.spread,
        "rounds": found.rounds,
        "floor_ms": found.floor_ms,
        "pml_ms": found.other_ms,
        "mib": found.mib,
        "pml_mib": found.other_mib,
        "parameters_mib": found.parameters_mib,
        "references": found.references,
        "stopped": found.stopped,
        "pml_stopped": found.other_stopped,
    }


def _about(machine: Machine, threads: int) -> dict[str, Any]:
    about = {"machine": machine.name, "threads": threads or machine.threads, "torch": machine.torch}
    return about | {
        "pml": pml_version(),
        "metricreg": machine.metricreg,
        "python": machine.python,
        "date": machine.date,
    }


def _sync(row: Row, plan: Plan) -> str | None:
    """Whether a step waits for the GPU: `no`, or what CUDA says; None where there is no GPU."""
    try:
        with WorkerProcess(plan.limits) as worker:
            step, _ = worker.prepare(ours(row.loss, row.inputs), row.inputs)
            said = worker.sync(step)
    except StoppedError as error:
        return str(error)
    return "no" if said == "" else said


def _compose(results: ResultFile, plan: Plan, machine: Machine, again: bool) -> None:
    inputs = Inputs(128, 256, 4)
    for comparison in composition.comparisons():
        if results.key({"what": comparison.what}) in results.rows and not again:
            continue
        stopped = None
        with WorkerProcess(plan.limits) as worker:
            try:
                runs = {str(k): (worker, worker.prepare(of, inputs)[0]) for k, of in enumerate(comparison.subjects)}
                series = in_turn(runs, rounds=plan.rounds or ROUNDS)
            except StoppedError as error:
                series, stopped = {}, str(error)
        one, other = series.get("0", Series()), series.get("1", Series())
        pairs = ratios(one, other)
        row = {
            "what": comparison.what,
            "ms": None if one.median is None else 1000 * one.median,
            "beside": comparison.beside,
            "beside_ms": None if other.median is None else 1000 * other.median,
            "ratio": one.over(other),
            "spread": spread(pairs) if len(pairs) > 2 else None,
            "rounds": len(one.seconds),
            "stopped": stopped or one.stopped or other.stopped,
        }
        results.add(row | _about(machine, 0))
        print(row, flush=True)


if __name__ == "__main__":
    main()
