"""The page "Speed and memory" of the documentation, made of the CSV files that are committed."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.run import FOLDER, read, slug
from benchmarks.suites import NOTES
from metricreg.bench.measurement import exponent
from metricreg.bench.memory import PAGES

Row = dict[str, str]

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
python -m benchmarks.run issue small large growth classes composition
python -m benchmarks.run issue --loss supcon --again
python -m benchmarks.run gpu issue --device cuda
```

Specs of your own are measured by [`metricreg bench`](cli.md#bench)."""
LARGE = 1024
"""From where on exponents are fitted; before, calls cost more than what grows."""
NOTHING = "No measurements are committed yet."

SECTIONS = {
    "issue": ("Every loss at N = {n}, D = {dim}", "loss ms pml_ms over_pml spread over_floor mib pml_mib"),
    "small": ("Small batches", "loss n ms pml_ms over_pml"),
    "large": ("Losses on pairs and triplets at N = {n}, D = {dim}", "loss seconds over_floor mib"),
    "growth": ("How costs grow with N", "loss dim per_class time pml_time memory pml_memory pml_up_to"),
    "classes": (
        "Many classes at N = {n}, D = {dim}",
        "loss classes ms pml_ms over_pml over_floor mib pml_mib parameters_mib with_weights",
    ),
    "composition": ("What composition costs at N = 128, D = 256", "what ms beside beside_ms ratio spread"),
    "gpu": ("Large batches on a GPU", "loss n dim dtype ms pml_ms over_pml over_floor mib pml_mib sync"),
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
    "what": "",
    "beside_ms": "ms",
    "sync": "waits for the GPU",
}
"""What stands over a column where it is not its name."""
SAID = {
    "growth": "Figures: metricreg blue, PML orange; a cross where PML could not go on. Tables: the exponents p of cost "
    f"proportional to N^p, fitted from N = {LARGE:,} on.",
    "classes": "*With weights* is the peak with the weights, over the weights and their gradient, which nothing can "
    "avoid.",
    "composition": "`validate` checks a typical spec, not for the first time.",
}


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
                lines += _section(suite, suites[suite], machine)
            else:
                lines += [f"The suite `{suite}` was not run on this machine.", ""]
    return "\n".join([*lines, AGAIN, ""])


def figures(folder: Path = FOLDER) -> dict[str, str]:
    """Path below `docs/` → SVG: how time and memory grow."""
    drawn = {}
    for machine, suites in _by_machine(folder).items():
        for pages, key in product(PAGES, ("ms", "mib")):
            if rows := [row for row in suites.get("growth", ()) if row["pages"] == pages]:
                drawn[_figure(machine, pages, key)] = _drawing(_drawn(rows), key)
    return drawn


def _by_machine(folder: Path) -> dict[str, dict[str, list[Row]]]:
    """Machine → suite → rows, of all files there are."""
    found: dict[str, dict[str, list[Row]]] = {}
    for file in sorted(folder.glob("*.csv")):
        suite = file.name.partition("-")[0]
        for row in read(file) if suite in SECTIONS else ():
            found.setdefault(row["machine"], {}).setdefault(suite, []).append(row)
    return found


# -- sections ---------------------------------------------------------------------------------------------------------


def _section(suite: str, rows: list[Row], machine: str) -> list[str]:
    title, columns = SECTIONS[suite]
    lines = [f"### {title.format(n=number(rows[0].get('n')), dim=rows[0].get('dim'))}", ""]
    lines += [SAID[suite], ""] if suite in SAID else []
    for pages in PAGES:
        of = [row for row in rows if row["pages"] == pages]
        if not of:
            continue
        lines += [f"Pages of freed memory {pages}:", ""]
        if suite == "growth":
            said = {"ms": "Time in milliseconds", "mib": "Peak memory in MiB"}
            for key, what in said.items():
                figure = _figure(machine, pages, key)
                lines += [f"![{what} over N, both logarithmic, a panel for each loss]({figure})", ""]
        shown = _grown(of) if suite == "growth" else list(map(_derived, of))
        lines += [*table(columns.split(), shown), *_left_out(of)]
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


def number(text: str | None) -> str:
    """Three digits, and all of them before the point; of what is no number, the text."""
    try:
        value = float(text or "")
    except ValueError:
        return text or ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def _loss(name: str) -> str:
    return f"[{name}](components/losses.md#{name.replace('/', '-')})"


def _derived(row: Row) -> Row:
    weights, peak = float(row.get("parameters_mib") or 0), row.get("mib")
    ratio = f"{(weights + float(peak)) / (2 * weights):.2f}" if peak and weights else ""
    return row | {"with_weights": ratio, "seconds": str(float(row["ms"]) / 1000) if row["ms"] else ""}


def _grown(rows: list[Row]) -> list[Row]:
    """The exponents of each loss, by features and samples of each class."""

    def fitted(of: list[Row], key: str) -> str:
        power = exponent((int(row["n"]), float(row[key] or 0)) for row in of if int(row["n"]) >= LARGE)
        return "" if power is None else f"{power:.2f}"

    found = []
    for kind in dict.fromkeys((row["loss"], row["dim"], row["per_class"]) for row in rows):
        of = [row for row in rows if (row["loss"], row["dim"], row["per_class"]) == kind]
        made = dict(zip(("loss", "dim", "per_class"), kind, strict=True))
        made |= {"time": fitted(of, "ms"), "pml_time": fitted(of, "pml_ms")}
        made |= {"memory": fitted(of, "mib"), "pml_memory": fitted(of, "pml_mib")}
        found.append(made | {"pml_up_to": str(max((int(row["n"]) for row in of if row["pml_ms"]), default=""))})
    return found


def _left_out(rows: list[Row]) -> list[str]:
    """What could not be run, and why, a line for each reason."""
    why: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for who, column in (("metricreg", "stopped"), ("PML", "pml_stopped")):
            if row.get(column):
                of = f" (N = {number(row['n'])}, C = {number(row['classes'])})" if "n" in row else ""
                why.setdefault((who, row[column]), []).append(f"{row.get('loss') or row['what']}{of}")
    lines = [f"- {who}, {reason}: {', '.join(dict.fromkeys(of))}." for (who, reason), of in why.items()]
    return ["Not measured:", "", *lines, ""] if lines else []


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


# -- figures, legible on a light and on a dark page -------------------------------------------------------------------

INK = "#010203"
"""Stands for the colour of text, which the reader's browser chooses."""
STYLE = (
    "<style>svg{color:#6e7781}@media (prefers-color-scheme:light){svg{color:#24292f}}"
    "@media (prefers-color-scheme:dark){svg{color:#c9d1d9}}</style>"
)
SIDES = (("", "metricreg", "#2f81f7", "o"), ("pml_", "pytorch-metric-learning", "#d9730d", "s"))
COLOURED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
CLEAR = ("axes.facecolor", "figure.facecolor", "savefig.facecolor")
SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "metricreg", "font.size": 8, "grid.alpha": 0.15}
SETTINGS |= dict.fromkeys(COLOURED, INK) | dict.fromkeys(CLEAR, "none")


def _figure(machine: str, pages: str, key: str) -> str:
    return f"figures/{slug(machine)}-{slug(pages)}-{key}.svg"


def _drawn(rows: list[Row]) -> list[Row]:
    """The rows of the first number of features and of samples of each class, which the figures are of."""
    return [row for row in rows if (row["dim"], row["per_class"]) == (rows[0]["dim"], rows[0]["per_class"])]


def _drawing(rows: list[Row], key: str) -> str:
    """A panel for each loss: a cost over N, both logarithmic, of metricreg beside PML."""
    import matplotlib
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["loss"] for row in rows))
    height = math.ceil(len(names) / 4)
    with matplotlib.rc_context(SETTINGS):  # a figure of its own: pyplot would want a display, and keep it
        figure = Figure(figsize=(9, 1.7 * height + 0.5), layout="constrained")
        panels = figure.subplots(height, 4, sharex=True, sharey=True, squeeze=False)
        for panel in panels.flat[len(names) :]:
            panel.axis("off")
        for name, panel in zip(names, panels.flat, strict=False):
            panel.set_title(name, fontsize=8)
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            panel.grid(True)
            for before, _, colour, marker in SIDES:
                of = sorted((int(r["n"]), float(r[before + key] or 0)) for r in rows if r["loss"] == name)
                points = [point for point in of if point[1] > 0]
                panel.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=2.5) if points else None
                if (
                    points
                    and len(points) < len(of)
                    and any(r.get(before + "stopped") for r in rows if r["loss"] == name)
                ):
                    panel.plot(*points[-1], color=colour, marker="x", markersize=8)
        figure.supxlabel("N", fontsize=8)
        figure.supylabel({"ms": "ms", "mib": "MiB"}[key], fontsize=8)
        lines = [panels[0, 0].plot([], [], color=c, marker=m, markersize=3, label=who)[0] for _, who, c, m in SIDES]
        figure.legend(handles=lines, loc="outside upper center", ncols=2, frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    _, opening, rest = out.getvalue().partition("<svg ")
    attributes, end, content = rest.partition(">")
    return (opening + attributes + end + STYLE + content).replace(INK, "currentColor")
