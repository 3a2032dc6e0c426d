"""Runs suites of measurements, and keeps what they find in benchmarks/results/<suite>-<machine>.csv.

    python -m benchmarks.run issue small

Each is measured twice: where the pages of freed memory are given back to the system, and where they are kept. Rows that
are there already are kept, so a run that was cut off goes on where it was; `--again` measures them anew.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.suites import COMPARISONS, INPUTS, SUITES, Row, ours, peer, quick
from metricreg.bench.inputs import Inputs
from metricreg.bench.measurement import machine, measure
from metricreg.bench.memory import PAGES
from metricreg.bench.worker import StoppedError, Worker
from metricreg.errors import MetricregError

FOLDER = Path(__file__).parent / "results"
KEYS = ("loss", "n", "dim", "per_class", "classes", "dtype", "device", "pages")
MEASURED = ("ms", "over_floor", "over_pml", "spread", "rounds", "floor_ms", "pml_ms", "mib", "pml_mib")
PRINTED = (*KEYS[:5], "pages", "ms", "over_floor", "over_pml", "mib", "pml_mib", "stopped", "pml_stopped")
ROUNDS = 60
"""Of a comparison of composition, whose two sides hardly differ."""
TOO_LARGE = ("over ", "out of memory", "killed")
"""How the reason begins of a row that was stopped for its size, so that a larger one need not be tried."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").split("\n")[0])
    names = [*SUITES, "composition"]
    parser.add_argument("suites", nargs="+", choices=names, metavar="SUITE", help=", ".join(names))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pages", choices=PAGES, help="only where the pages of freed memory are given back, or kept")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there already")
    parser.add_argument("--quick", action="store_true", help="few rows, made small, in a folder of their own")
    parser.add_argument("--results", type=Path, help="the folder for the CSV files")
    parser.add_argument("--loss", type=lambda text: text.split(","), help="only these, separated by commas")
    for option, what in (("--batch", "N"), ("--dim", "D"), ("--per-class", "numbers of samples of each class")):
        parser.add_argument(option, type=_numbers, help=f"only these {what}")
    parser.add_argument("--no-pml", action="store_true", help="without pytorch-metric-learning")
    parser.add_argument("--no-memory", action="store_true", help="without memory")
    parser.add_argument("--repeat", type=int, help="rounds; until ratios are known to 1 %% or time is up if left out")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the rounds of a row")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds that a step may take")
    parser.add_argument("--memory-limit", type=float, help="GiB of a process; 9/10 of what is free if left out")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(given: Sequence[str] | None = None) -> None:
    """Run the suites that the command line names."""
    parser = arguments()
    args = parser.parse_args(given)
    if args.quick and args.repeat is None:
        args.repeat = 1
    folder = args.results or (Path(tempfile.mkdtemp()) if args.quick else FOLDER)
    kinds = [args.pages] if args.pages else ["kept"] if args.device != "cpu" else list(PAGES)
    try:
        Inputs(1, device=args.device).check_device()
        here = machine(args.device)
        about = {"machine": here.pop("name"), **here, "pml": pml_version()}
        for suite in args.suites:
            results = Results(folder / f"{suite}-{slug(str(about['machine']))}.csv", suite)
            print(f"{suite} on {about['machine']}: {results.file}", flush=True)
            rows = _comparisons(kinds, args, results) if suite == "composition" else _suite(suite, kinds, args, results)
            for row in rows:
                results.add({**row, **about, "threads": row.get("threads") or about["threads"]})
                shown = {name: row[name] for name in (PRINTED if "loss" in row else row)}
                print("  ".join(f"{name} {_text(value) or '-'}" for name, value in shown.items()), flush=True)
    except MetricregError as error:
        parser.exit(1, f"{error}\n")


def slug(name: str) -> str:
    """The name of a machine in the name of a file: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")


def pml_version() -> str | None:
    """That of pytorch-metric-learning; None where it is not installed."""
    try:
        return version("pytorch-metric-learning")
    except PackageNotFoundError:
        return None


class Results:
    """The rows of one suite on one machine, in a CSV file that is written anew whenever a row is added.

    Args:
        file: where they are, and are kept.
        suite: its name.
    """

    def __init__(self, file: Path, suite: str) -> None:
        self.file, self.keys = file, ("what", "pages") if suite == "composition" else KEYS
        self.rows = {self.key(row): row for row in read(file)} if file.is_file() else {}

    def key(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What a row is known by."""
        return tuple(_text(row[key]) for key in self.keys)

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row, in place of one of the same key."""
        self.rows[self.key(row)] = {key: _text(value) for key, value in row.items()}
        columns = list(dict.fromkeys(key for kept in self.rows.values() for key in kept))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows.values())
        os.replace(partial, self.file)

    def too_large(self, key: Mapping[str, Any], column: str) -> str | None:
        """Why a row need not be tried: one that differs only in being smaller was stopped."""
        for row in self.rows.values():
            n, classes, why = int(row["n"]), int(row["classes"]), row.get(column, "")
            same = all(row[name] == str(key[name]) for name in KEYS if name not in ("n", "classes"))
            is_smaller = n <= key["n"] and classes <= key["classes"] and (n, classes) != (key["n"], key["classes"])
            if same and is_smaller and why.startswith(TOO_LARGE):
                return f"not run: {why} at {f'N = {n:,}' if n < key['n'] else f'C = {classes:,}'}"
        return None


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a file; those of before there was a column for it were measured with pages given back."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [{"pages": "given back", **row} for row in csv.DictReader(stream)]


def _text(value: Any) -> str:
    """A value as the file has it: four digits of a number, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _suite(suite: str, kinds: list[str], args: argparse.Namespace, results: Results) -> Iterator[dict[str, Any]]:
    rows = SUITES[suite]()
    asked = (args.batch, args.dim, args.per_class, args.loss)
    for row in quick(rows) if args.quick else rows:
        inputs = replace(row.inputs, **INPUTS.get(row.loss, {}), device=args.device)
        sizes = (inputs.batch, inputs.dim, inputs.per_class)
        if any(some is not None and it not in some for it, some in zip((*sizes, row.loss), asked, strict=True)):
            continue
        for pages in kinds:
            key = dict(zip(KEYS, (row.loss, *sizes, inputs.known, inputs.dtype, inputs.device, pages), strict=True))
            if results.key(key) not in results.rows or args.again:
                yield key | _measured(replace(row, inputs=inputs), key, args, results)


def _measured(row: Row, key: dict[str, Any], args: argparse.Namespace, results: Results) -> dict[str, Any]:
    make, beside = ours(row.loss, row.inputs), peer(row.loss, row.inputs)
    why = results.too_large(key, "stopped")
    why_not_pml = results.too_large(key, "pml_stopped") if beside is not None else None
    if not row.peer or args.no_pml:
        beside = why_not_pml = None
    elif pml_version() is None:
        why_not_pml = "not run: it is not installed"
    limits = {"time_limit": args.time_limit, "memory_limit": args.memory_limit, "environment": PAGES[key["pages"]]}
    timing = {"rounds": args.repeat, "seconds": args.seconds, "memory": row.memory and not args.no_memory}
    found: dict[str, Any] = {"stopped": why}
    if why is None:
        try:
            found = measure(make, row.inputs, None if why_not_pml else beside, **timing, **limits)
        except MetricregError as error:  # inputs that it does not take; the other rows are measured all the same
            found["stopped"] = str(error)
    if row.sync and found.get("ms") is not None and row.inputs.device != "cpu":
        found["sync"] = _sync(row, args)
    made = {name: found.get(name.replace("pml", "other")) for name in MEASURED}
    made |= {name: found.get(name) for name in ("parameters_mib", "references", "stopped", "sync", "threads")}
    return made | {"pml_stopped": why_not_pml or found.get("other_stopped")}


def _sync(row: Row, args: argparse.Namespace) -> str:
    """Whether a step waits for the GPU: `no`, or what CUDA says."""
    with Worker(args.time_limit) as worker:
        worker.prepare(ours(row.loss, row.inputs), row.inputs)
        worker.time()
        try:
            worker.call(_run_without_waiting)
        except StoppedError as error:
            return str(error)
    return "no"


def _run_without_waiting(held: dict[str, Any]) -> None:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    held["step"]()


def _comparisons(kinds: list[str], args: argparse.Namespace, results: Results) -> Iterator[dict[str, Any]]:
    for ((what, beside), makes), pages in product(COMPARISONS.items(), kinds):
        key = {"what": what, "pages": pages}
        if results.key(key) not in results.rows or args.again:
            plan = {"rounds": args.repeat or ROUNDS, "memory": False, "time_limit": args.time_limit}
            found = measure(makes[0], Inputs(128), *makes[1:], **plan, environment=PAGES[pages])
            row = key | {name: found[name] for name in ("ms", "spread", "rounds", "stopped", "threads")}
            yield row | {"beside": beside, "beside_ms": found["other_ms"], "ratio": found["over_other"]}


if __name__ == "__main__":
    main()
