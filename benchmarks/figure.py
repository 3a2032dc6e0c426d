"""Figures of how costs grow, as SVG that is legible on a light and on a dark page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.table import Row

INK = "#010203"
"""Stands for the colour of text, which the reader's browser chooses."""
STYLE = (
    "<style>svg{color:#6e7781}@media (prefers-color-scheme:light){svg{color:#24292f}}"
    "@media (prefers-color-scheme:dark){svg{color:#c9d1d9}}</style>"
)
SIDES = (("", "metricreg", "#2f81f7", "o"), ("pml_", "pytorch-metric-learning", "#d9730d", "s"))
COLUMNS = 4
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "metricreg",
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def drawing(rows: Sequence[Row], key: str, label: str) -> str:
    """A panel for each loss: a cost over N, both logarithmic, of metricreg beside PML.

    Args:
        rows: of one number of features and of samples of each class.
        key: the column of the cost; PML's is that with `pml_` before.
        label: of its axis.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["loss"] for row in rows))
    height = math.ceil(len(names) / COLUMNS)
    with matplotlib.rc_context(SETTINGS):  # a figure of its own: pyplot would want a display, and keep it
        figure = Figure(figsize=(9, 1.7 * height + 0.5), layout="constrained")
        panels = figure.subplots(height, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for place, panel in enumerate(panels.flat):
            if place >= len(names):
                panel.axis("off")
                continue
            _draw(panel, [row for row in rows if row["loss"] == names[place]], key)
            panel.set_title(names[place], fontsize=8)
            if place % COLUMNS == 0:
                panel.set_ylabel(label)
            if place + COLUMNS >= len(names):
                panel.set_xlabel("N")
                panel.tick_params(labelbottom=True)
        lines = [panels[0, 0].plot([], [], color=c, marker=m, markersize=3, label=who)[0] for _, who, c, m in SIDES]
        figure.legend(handles=lines, loc="outside upper center", ncols=2, frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    _, opening, rest = out.getvalue().partition("<svg ")
    attributes, end, content = rest.partition(">")
    return (opening + attributes + end + STYLE + content).replace(INK, "currentColor")


def _draw(panel: Any, rows: Sequence[Row], key: str) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.grid(True)
    for before, _, colour, marker in SIDES:
        points = sorted((int(row["n"]), float(row[before + key])) for row in rows if row.get(before + key))
        points = [(n, cost) for n, cost in points if cost > 0]
        if not points:
            continue
        panel.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=2.5, linewidth=1.2)
        if any(row.get(before + "stopped") and int(row["n"]) > points[-1][0] for row in rows):
            panel.plot(*points[-1], color=colour, marker="x", markersize=8, markeredgewidth=1.5)
    sizes = sorted({int(row["n"]) for row in rows})
    marked = [n for n in sizes if n in (128, 1024, 8192, 32768)] or sizes
    panel.set_xticks(marked, [f"{n // 1024}k" if n >= 1024 else str(n) for n in marked])
    panel.minorticks_off()
