"""The page "Speed and memory" of the documentation, made of the CSV files that are committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.run import FOLDER, Row, read
from benchmarks.suites import NOTES
from metricreg.bench.measurement import exponent
from metricreg.bench.memory import PAGES

HOW = """What a forward and a backward pass takes, on random embeddings, on the machines named below. The tables are
made of the files in `benchmarks/results`.

What is compared runs in processes of its own, in turn, one at a time. Times are medians, and a ratio is the median of
the ratios of the rounds. *PML* is pytorch-metric-learning, with the same parameters; the tests compare values and
gradients of both. A dash stands where it has no such loss, and where something could not be run, which is said below
the table. *Over floor* is the ratio to the three matrix products `N x N x D` (`N x C x D` for a loss with class
vectors) that every exact method needs; nothing else is done in them. *MiB* is the peak of the memory of one step in a
fresh process above what embeddings and parameters take, gradients included: the resident set on a CPU, what the
allocator held on a GPU. *±* is half the 95 % interval of the ratio to PML, or else to the floor.

On a CPU each is measured with the pages of freed memory *given back* and *kept*. glibc gives large blocks back to the
system when they are freed, so that each step faults them in again, which costs most where the tensors are largest. With
`MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_` set to some GiB it keeps them for the next step, as jemalloc and
the allocator of a GPU do, and what is left is the computation."""
AGAIN = """## Measuring it again

From a checkout with the extra `parity`, where nothing else runs. Rows that are there are kept, unless `--again` is
said:

```sh
python -m benchmarks.run issue small large growth classes
python -m benchmarks.run issue --loss supcon --again
python -m benchmarks.run gpu issue --device cuda
```

Specs of your own are measured by [`metricreg bench`](cli.md#bench)."""
GROWTH = "The exponents p of cost proportional to N^p, fitted from N = 1,024 on."
LARGE = 1024
"""From where on exponents are fitted; before, calls cost more than what grows."""
NOTHING = "No measurements are committed yet."

SECTIONS = {
    "issue": ("Every loss at N = {n}, D = {dim}", "loss ms pml_ms over_pml spread over_floor mib pml_mib"),
    "small": ("Small batches", "loss n ms pml_ms over_pml"),
    "large": ("Losses on pairs and triplets at N = {n}, D = {dim}", "loss ms over_floor mib"),
    "growth": ("How costs grow with N", "loss dim per_class time pml_time memory pml_memory pml_up_to"),
    "classes": (
        "Many classes at N = {n}, D = {dim}",
        "loss classes ms pml_ms over_pml over_floor mib pml_mib parameters_mib",
    ),
    "gpu": ("Large batches on a GPU", "loss n dim dtype ms pml_ms over_pml over_floor mib pml_mib"),
}
"""Of each suite the title, and the columns of its table."""
HEADS = {
    "n": "N",
    "dim": "D",
    "classes": "C",
    "dtype": "type",
    "spread": "±",
    "mib": "MiB",
    "pml_mib": "PML MiB",
    "parameters_mib": "weights MiB",
    "pml_up_to": "PML up to N",
}
"""What stands over a column where it is not its name."""


def page(folder: Path = FOLDER) -> str:
    """The page as Markdown."""
    lines = ["# Speed and memory", "", HOW, ""]
    found = _by_machine(folder)
    if not found:
        lines += [NOTHING, ""]
    for machine, suites in found.items():
        lines += [f"## {machine}", ""]
        for suite in SECTIONS:
            if suite in suites:
                lines += _section(suite, suites[suite])
            else:
                lines += [f"The suite `{suite}` was not run on this machine.", ""]
    return "\n".join([*lines, AGAIN, ""])


def _by_machine(folder: Path) -> dict[str, dict[str, list[Row]]]:
    """Machine → suite → rows, of all files there are."""
    found: dict[str, dict[str, list[Row]]] = {}
    for file in sorted(folder.glob("*.csv")):
        suite = file.name.partition("-")[0]
        for row in read(file) if suite in SECTIONS else ():
            found.setdefault(row["machine"], {}).setdefault(suite, []).append(row)
    return found


# -- sections ---------------------------------------------------------------------------------------------------------


def _section(suite: str, rows: list[Row]) -> list[str]:
    title, columns = SECTIONS[suite]
    lines = [f"### {title.format(n=number(rows[0]['n']), dim=rows[0]['dim'])}", ""]
    lines += [GROWTH, ""] if suite == "growth" else []
    for pages in PAGES:
        if of := [row for row in rows if row["pages"] == pages]:
            shown = _grown(of) if suite == "growth" else of
            lines += [f"Pages of freed memory {pages}:", "", *table(columns.split(), shown), *_left_out(of)]
    named = dict.fromkeys(row["loss"] for row in rows) if suite == "issue" else ()
    notes = [f"- {_loss(name)}: {NOTES[name]}" for name in named if name in NOTES]
    return [*lines, *notes, *([""] if notes else []), _about(rows), ""]


def table(columns: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """A table: the first column to the left, the others to the right."""
    heads = [HEADS.get(key, key.replace("_", " ").replace("pml", "PML")) for key in columns]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    body = ([cell(key, row.get(key)).replace("|", "/") for key in columns] for row in rows)
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in body), ""]


def cell(key: str, text: str | None) -> str:
    """A value as the page shows it; a dash for none."""
    if not text:
        return "–"
    if key == "loss":
        return _loss(text)
    if text.isdecimal() and key in ("n", "dim", "per_class", "classes", "pml_up_to"):
        return f"{int(text):,}"
    return f"{100 * float(text):.1f} %" if key == "spread" else number(text)


def number(text: str) -> str:
    """Three digits, and all of them before the point; of what is no number, the text."""
    try:
        value = float(text)
    except ValueError:
        return text
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def _loss(name: str) -> str:
    return f"[{name}](components/losses.md#{name.replace('/', '-')})"


def _grown(rows: list[Row]) -> list[Row]:
    """The exponents of each loss, by features and samples of each class."""

    def fitted(of: list[Row], key: str) -> str:
        power = exponent((int(row["n"]), float(row.get(key) or 0)) for row in of if int(row["n"]) >= LARGE)
        return "" if power is None else f"{power:.2f}"

    found = []
    for kind in dict.fromkeys((row["loss"], row["dim"], row["per_class"]) for row in rows):
        of = [row for row in rows if (row["loss"], row["dim"], row["per_class"]) == kind]
        made = dict(zip(("loss", "dim", "per_class"), kind, strict=True))
        made |= {"time": fitted(of, "ms"), "pml_time": fitted(of, "pml_ms")}
        made |= {"memory": fitted(of, "mib"), "pml_memory": fitted(of, "pml_mib")}
        found.append(made | {"pml_up_to": str(max((int(row["n"]) for row in of if row.get("pml_ms")), default=""))})
    return found


def _left_out(rows: list[Row]) -> list[str]:
    """What could not be run, and why, a line for each reason."""
    why: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for who, column in (("metricreg", "stopped"), ("PML", "pml_stopped")):
            if row.get(column):
                what = f"{row['loss']} (N = {number(row['n'])}, C = {number(row['classes'])})"
                why.setdefault((who, row[column]), []).append(what)
    lines = [f"- {who}, {reason}: {', '.join(dict.fromkeys(of))}." for (who, reason), of in why.items()]
    return ["Not measured:", "", *lines, ""] if lines else []


def _about(rows: list[Row]) -> str:
    """What the rows were measured with."""

    def found(key: str) -> str:
        return " or ".join(sorted({row[key] for row in rows} - {""}))

    return (
        f"metricreg {found('metricreg')}, pytorch-metric-learning {found('pml')}, torch {found('torch')}; "
        f"threads: {found('threads')}; measured on {found('date')}."
    )
