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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.suites import ALONE, INPUTS, SUITES, ours, peer
from metricreg.bench.inputs import Inputs
from metricreg.bench.measurement import machine, measure
from metricreg.bench.memory import PAGES
from metricreg.errors import MetricregError

Row = dict[str, str]

FOLDER = Path(__file__).parent / "results"
KEYS = ("loss", "n", "dim", "per_class", "classes", "dtype", "device", "pages")
"""What a row is known by."""
PRINTED = (*KEYS[:5], "pages", "ms", "over_floor", "over_pml", "mib", "pml_mib", "stopped", "pml_stopped")
TOO_LARGE = ("over ", "out of memory", "killed")
"""How the reason begins of a row that was stopped for its size, so that a larger one need not be tried."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("suites", nargs="+", choices=SUITES, metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pages", choices=PAGES, help="only where the pages of freed memory are given back, or kept")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there already")
    parser.add_argument("--results", type=Path, default=FOLDER, help="the folder for the CSV files")
    parser.add_argument("--loss", type=lambda text: text.split(","), help="only these, separated by commas")
    parser.add_argument("--batch", type=lambda text: list(map(int, text.split(","))), help="only these N")
    parser.add_argument("--repeat", type=int, help="rounds; 15, and fewer of long steps, if left out")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds that a step may take")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Run the suites that the command line names."""
    parser = arguments()
    args = parser.parse_args(given)
    kinds = [args.pages] if args.pages else ["kept"] if args.device != "cpu" else list(PAGES)
    try:
        Inputs(1, device=args.device).check_device()
    except MetricregError as error:
        parser.exit(1, f"{error}\n")
    here = machine(args.device)
    about = {"machine": here.pop("name"), **here, "pml": pml_version()}
    for suite in args.suites:
        file = args.results / f"{suite}-{slug(str(about['machine']))}.csv"
        rows = {_key(row): row for row in read(file)} if file.is_file() else {}
        print(f"{suite} on {about['machine']}: {file}", flush=True)
        for (loss, inputs), pages in product(SUITES[suite](), kinds):
            inputs = replace(inputs, **INPUTS.get(loss, {}), device=args.device)
            if (args.loss and loss not in args.loss) or (args.batch and inputs.batch not in args.batch):
                continue
            sizes = (inputs.batch, inputs.dim, inputs.per_class, inputs.known)
            row = _texts(dict(zip(KEYS, (loss, *sizes, inputs.dtype, inputs.device, pages), strict=True)))
            if _key(row) in rows and not args.again:
                continue
            row |= _texts(_measured(loss, inputs, row, rows.values(), suite in ALONE, args) | about)
            rows[_key(row)] = row
            write(file, list(rows.values()))
            print("  ".join(f"{name} {row.get(name) or '-'}" for name in PRINTED), flush=True)


def _measured(
    loss: str, inputs: Inputs, row: Row, rows: Iterable[Row], alone: bool, args: argparse.Namespace
) -> dict[str, Any]:
    """What `measure` finds of a loss and, beside it, of its counterpart in PML."""
    beside = None if alone else peer(loss, inputs)
    why = _too_large(row, rows, "stopped")
    why_not_pml = beside and _too_large(row, rows, "pml_stopped")
    found: dict[str, Any] = {"stopped": why}
    if why is None:
        try:
            found = measure(
                ours(loss, inputs),
                inputs,
                None if why_not_pml else beside,
                rounds=args.repeat,
                time_limit=args.time_limit,
                environment=PAGES[row["pages"]],
            )
        except MetricregError as error:  # inputs that it does not take; the other rows are measured all the same
            found = {"stopped": str(error)}
    found = {name.replace("other", "pml"): value for name, value in found.items()}
    return found | {"pml_stopped": why_not_pml or found.get("pml_stopped")}


def _too_large(row: Row, rows: Iterable[Row], column: str) -> str | None:
    """Why a row need not be tried: one that differs only in being smaller was stopped."""
    n, classes = int(row["n"]), int(row["classes"])
    for other in rows:
        its_n, its_classes, why = int(other["n"]), int(other["classes"]), other.get(column, "")
        same = all(other[name] == row[name] for name in KEYS if name not in ("n", "classes"))
        smaller = its_n <= n and its_classes <= classes and (its_n, its_classes) != (n, classes)
        if same and smaller and why.startswith(TOO_LARGE):
            return f"not run: {why} at {f'N = {its_n:,}' if its_n < n else f'C = {its_classes:,}'}"
    return None


def slug(name: str) -> str:
    """The name of a machine in the name of a file: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")


def pml_version() -> str | None:
    """That of pytorch-metric-learning; None where it is not installed."""
    try:
        return version("pytorch-metric-learning")
    except PackageNotFoundError:
        return None


# -- files ------------------------------------------------------------------------------------------------------------


def read(file: Path) -> list[Row]:
    """The rows of a file."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write a file anew, which is never there in part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        columns = dict.fromkeys(key for row in rows for key in row)
        writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, file)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEYS)


def _texts(row: Mapping[str, Any]) -> Row:
    """The values as the file has them: four digits of a number, nothing for None."""
    return {
        name: "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in row.items()
    }


if __name__ == "__main__":
    main()
