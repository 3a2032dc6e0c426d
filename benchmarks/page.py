"""The page "Speed and memory" of the documentation, made of the CSV files that are committed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import case_of
from benchmarks.table import Row, cell, loss, number, table, whole
from metricreg.bench.growth import exponent
from metricreg.bench.machine import slug

FOLDER = Path(__file__).parent / "results"
HOW = """What a forward and a backward pass takes, on random embeddings, on the machines named below. The tables are
made of the files in `benchmarks/results`.

What is compared runs in processes of its own, in turn, one at a time. Times are medians, and a ratio is the median of
the ratios of the rounds. *PML* is pytorch-metric-learning, with the same parameters; the tests compare values and
gradients of both. A dash stands where it has no such loss, and where something could not be run, which is said below
the table. *Over floor* is the ratio to the three matrix products `N x N x D` (`N x C x D` for a loss with class
vectors) that every exact method needs; nothing else is done in them. *MiB* is the peak of the memory of one step in a
fresh process above what embeddings and parameters take, gradients included: the resident set on a CPU, what the
allocator held on a GPU. *±* is half the 95 % interval of the ratio to PML, or else to the floor."""
AGAIN = """## Measuring it again

From a checkout with the extra `parity`, where nothing else runs. Rows that are there are kept, unless `--again` is
said:

```sh
python -m benchmarks.run issue small large growth classes composition
python -m benchmarks.run issue --loss supcon --again
python -m benchmarks.run gpu issue --device cuda
```

Specs of your own are measured by [`metricreg bench`](cli.md#bench)."""
LARGE = 1024
"""From where on exponents are fitted; before, calls cost more than what grows."""
NOTHING = "No measurements are committed yet."


def page(folder: Path = FOLDER) -> str:
    """The page as Markdown."""
    lines = ["# Speed and memory", "", HOW, ""]
    found = read(folder)
    if not found:
        lines += [NOTHING, ""]
    for machine, suites in found.items():
        lines += [f"## {machine}", ""]
        for suite, make in SECTIONS.items():
            if suite in suites:
                lines += [*make(suites[suite], machine), _about(suites[suite]), ""]
            else:
                lines += [f"The suite `{suite}` was not run on this machine.", ""]
    return "\n".join([*lines, AGAIN, ""])


def figures(folder: Path = FOLDER) -> dict[str, str]:
    """Path below `docs/` → SVG: how time and memory grow."""
    drawn = {}
    for machine, suites in read(folder).items():
        if "growth" in suites:
            from benchmarks.figure import drawing

            rows = _drawn(suites["growth"])
            for key, label in (("ms", "ms"), ("mib", "MiB")):
                drawn[_figure(machine, key)] = drawing(rows, key, label)
    return drawn


def read(folder: Path) -> dict[str, dict[str, list[Row]]]:
    """Machine → suite → rows, of all files there are."""
    found: dict[str, dict[str, list[Row]]] = {}
    for file in sorted(folder.glob("*.csv")):
        suite = next((name for name in SECTIONS if file.name.startswith(f"{name}-")), None)
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream) if suite is not None else ():
                found.setdefault(row["machine"], {}).setdefault(suite or "", []).append(row)
    return found


# -- sections ---------------------------------------------------------------------------------------------------------


def _issue(rows: list[Row], machine: str) -> list[str]:
    of = rows[0]
    lines = [f"### Every loss at N = {whole(of['n'])}, D = {of['dim']}", ""]
    return [*lines, *_compared(rows), *_left_out(rows), *_notes(rows)]


def _small(rows: list[Row], machine: str) -> list[str]:
    sizes = sorted({int(row["n"]) for row in rows})
    heads = [head for n in sizes for head in (f"ms at N = {n}", "PML ms", "over PML")]
    by = {(row["loss"], int(row["n"])): row for row in rows}
    body = [
        [loss(name)] + [cell(by.get((name, n), {}), key) for n in sizes for key in ("ms", "pml_ms", "over_pml")]
        for name in _names(rows)
    ]
    return ["### Small batches", "", *table(["loss", *heads], body), *_left_out(rows)]


def _large(rows: list[Row], machine: str) -> list[str]:
    of = rows[0]
    lines = [f"### Losses on pairs and triplets at N = {whole(of['n'])}, D = {of['dim']}", ""]
    heads, keys = ["loss", "seconds", "over floor", "MiB"], ("seconds", "over_floor", "mib")
    timed = [row | {"seconds": str(float(row["ms"]) / 1000) if row["ms"] else ""} for row in rows]
    return [*lines, *table(heads, [[loss(r["loss"]), *(cell(r, k) for k in keys)] for r in timed]), *_left_out(rows)]


def _growth(rows: list[Row], machine: str) -> list[str]:
    of = _drawn(rows)[0]
    about = f"D = {of['dim']}, {of['per_class']} samples of each class"
    lines = [
        "### How costs grow with N",
        "",
        f"{about}; metricreg blue, PML orange; a cross where PML could not go on.",
        "",
        f"![Time in milliseconds over N, both logarithmic, a panel for each loss]({_figure(machine, 'ms')})",
        "",
        f"![Peak memory in MiB over N, both logarithmic, a panel for each loss]({_figure(machine, 'mib')})",
        "",
        f"The exponents p of cost proportional to N^p, fitted from N = {LARGE:,} on:",
        "",
    ]
    body = []
    for name in _names(rows):
        for dim, per_class in sorted({(int(r["dim"]), int(r["per_class"])) for r in rows if r["loss"] == name}):
            of_both = [r for r in rows if (r["loss"], r["dim"], r["per_class"]) == (name, str(dim), str(per_class))]
            fits = [_fitted(of_both, key) for key in ("ms", "pml_ms", "mib", "pml_mib")]
            largest = max((int(r["n"]) for r in of_both if r["pml_ms"]), default=None)
            body.append([loss(name), str(dim), str(per_class), *fits, "–" if largest is None else f"{largest:,}"])
    heads = ["loss", "D", "per class", "time", "PML time", "memory", "PML memory", "PML up to N"]
    return [*lines, *table(heads, body), *_left_out(rows)]


def _classes(rows: list[Row], machine: str) -> list[str]:
    of = rows[0]
    lines = [f"### Many classes at N = {whole(of['n'])}, D = {of['dim']}", ""]
    lines += [
        "*With weights* is the peak with the weights, over the weights and their gradient, which nothing can avoid.",
        "",
    ]
    heads = ["loss", "C", "ms", "PML ms", "over PML", "over floor", "MiB", "PML MiB", "weights MiB", "with weights"]
    body = []
    for row in rows:
        weights, peak = float(row["parameters_mib"] or 0), row["mib"]
        ratio = f"{(weights + float(peak)) / (2 * weights):.2f}" if peak and weights else "–"
        cells = [cell(row, key) for key in ("ms", "pml_ms", "over_pml", "over_floor", "mib", "pml_mib")]
        body.append([loss(row["loss"]), whole(row["classes"]), *cells, number(row["parameters_mib"]), ratio])
    return [*lines, *table(heads, body), *_left_out(rows)]


def _composition(rows: list[Row], machine: str) -> list[str]:
    heads, keys = ["", "ms", "beside", "ms", "ratio", "±"], ("ms", "beside", "beside_ms", "ratio", "spread")
    body = [[row["what"], *(row[key] or "–" if key == "beside" else cell(row, key) for key in keys)] for row in rows]
    lines = [
        "### What composition costs",
        "",
        "At N = 128, D = 256. `validate` checks a typical spec, not for the first time.",
        "",
    ]
    return [*lines, *table(heads, body)]


def _gpu(rows: list[Row], machine: str) -> list[str]:
    lines = ["### Large batches on a GPU", ""]
    heads = ["loss", "N", "D", "type", "ms", "PML ms", "over PML", "over floor", "MiB", "PML MiB", "waits for the GPU"]
    keys = ("ms", "pml_ms", "over_pml", "over_floor", "mib", "pml_mib")
    body = [
        [loss(r["loss"]), whole(r["n"]), r["dim"], r["dtype"], *(cell(r, k) for k in keys), r["sync"] or "–"]
        for r in rows
    ]
    return [*lines, *table(heads, body), *_left_out(rows)]


SECTIONS: dict[str, Callable[[list[Row], str], list[str]]] = {
    "issue": _issue,
    "small": _small,
    "large": _large,
    "growth": _growth,
    "classes": _classes,
    "composition": _composition,
    "gpu": _gpu,
}

# -- parts ------------------------------------------------------------------------------------------------------------


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["loss"] for row in rows))


def _compared(rows: list[Row]) -> list[str]:
    heads = ["loss", "ms", "PML ms", "over PML", "±", "over floor", "MiB", "PML MiB"]
    keys = ("ms", "pml_ms", "over_pml", "spread", "over_floor", "mib", "pml_mib")
    return table(heads, [[loss(row["loss"]), *(cell(row, key) for key in keys)] for row in rows])


def _left_out(rows: list[Row]) -> list[str]:
    """What could not be run, and why, a line for each reason."""
    why: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for who, column in (("metricreg", "stopped"), ("PML", "pml_stopped")):
            if row.get(column):
                why.setdefault((who, row[column]), []).append(row)
    lines = []
    for (who, reason), of in why.items():
        sizes = {(row["n"], row["dim"], row["per_class"], row["classes"]) for row in rows}
        named = _names(of) if len(sizes) == 1 else [f"{name} ({_sizes(of, name)})" for name in _names(of)]
        lines.append(f"- {who}, {reason}: {', '.join(named)}.")
    return ["Not measured:", "", *lines, ""] if lines else []


def _sizes(rows: list[Row], name: str) -> str:
    of = [row for row in rows if row["loss"] == name]
    varied = "classes" if len({row["n"] for row in of}) == 1 < len({row["classes"] for row in of}) else "n"
    sizes = sorted({int(row[varied]) for row in of})
    return f"{'C' if varied == 'classes' else 'N'} = {', '.join(f'{size:,}' for size in sizes)}"


def _notes(rows: list[Row]) -> list[str]:
    lines = [f"- {loss(name)}: {case_of(name).note}" for name in _names(rows) if case_of(name).note]
    return [*lines, ""] if lines else []


def _about(rows: list[Row]) -> str:
    """What the rows were measured with."""
    versions = [
        f"{title} {' and '.join(found)}"
        for title, key in (("metricreg", "metricreg"), ("pytorch-metric-learning", "pml"), ("torch", "torch"))
        if (found := sorted({row[key] for row in rows} - {""}))
    ]
    dates = sorted({row["date"] for row in rows})
    threads = " or ".join(sorted({row["threads"] for row in rows}))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{', '.join(versions)}; {threads} thread{'s' * (threads != '1')}; {when}."


def _drawn(rows: list[Row]) -> list[Row]:
    """The rows of the first number of features and of samples of each class, which the figures are of."""
    return [row for row in rows if (row["dim"], row["per_class"]) == (rows[0]["dim"], rows[0]["per_class"])]


def _figure(machine: str, key: str) -> str:
    return f"figures/{slug(machine)}-{key}.svg"


def _fitted(rows: list[Row], key: str) -> str:
    power = exponent((int(row["n"]), float(row[key])) for row in rows if row[key] and int(row["n"]) >= LARGE)
    return "–" if power is None else f"{power:.2f}"
