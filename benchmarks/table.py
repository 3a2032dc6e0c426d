"""Tables of Markdown, and what a CSV file's values look like in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Row = dict[str, str]


def table(heads: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """A table: the first column to the left, the others to the right."""
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    return [*lines, *(f"| {' | '.join(text.replace('|', '/') for text in cells)} |" for cells in body), ""]


def loss(name: str) -> str:
    """The name of a loss, with a link to what it is."""
    return f"[{name}](components/losses.md#{name.replace('/', '-')})"


def cell(row: Row, key: str) -> str:
    """A value; where there is none, a dash."""
    text = row.get(key, "")
    if not text:
        return "–"
    return f"{100 * float(text):.1f} %" if key == "spread" else number(text)


def number(text: str) -> str:
    """Three digits, and all of them before the point."""
    value = float(text)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    places = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{places}f}"


def whole(text: str) -> str:
    """A whole number, its digits in groups of three."""
    return f"{int(text):,}"
