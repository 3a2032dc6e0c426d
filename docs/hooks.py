"""What is made when the documentation is built: of the registry one page a kind and an index; what is tested; what was
measured; and a picture of the rooms."""

from __future__ import annotations

import ast
import html
import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricreg.registry import KINDS, default_registry, hookspecs
from metricreg.spec.describe import Description, describe
from metricreg.spec.spec import validate

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef, import-not-found, unused-ignore]

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

PLURALS = {
    "distance": "distances",
    "loss": "losses",
    "reducer": "reducers",
    "regularizer": "regularizers",
    "miner": "miners",
    "match": "matches",
}
ROLES = {
    "distance": "How far, or how similar, two embeddings are.",
    "loss": "What the unreduced values of an objective are.",
    "reducer": "How the many values of a term become one.",
    "regularizer": "A penalty on embeddings, class weights or proxies.",
    "miner": "Which pairs or triplets of a batch are used.",
    "match": "Which samples belong together, by their labels.",
}


HOOKS_PAGE = """A plugin is a module, or any object, that an entry point of the group `metricreg` leads to. It
implements one or more of these hooks as functions marked with `@metricreg.hookimpl`, which take no arguments. Each is
called once, when the registry is first looked at. It returns a mapping from names, `[a-z][a-z0-9_]*`, to classes of its
kind, or to the paths of such classes, which are imported when they are first needed. [Writing a plugin](plugins.md)
makes one from nothing."""
FOLDER = Path(__file__).parent
MARKS = {"yes": "✓", "none there": "–"}
CHECKS = """Every component that ships passes the [conformance kit](testing.md#the-checks), as a plugin's should, but
for the [failures that are expected](#expected). What it is compared with besides is in the tables. A test run writes
them (`pytest --record-checks`), and a test asserts that they have a row for every component that ships. A number counts
with how many distances or reducers; *refused* means that a clear error says so, and is tested too; – that there is
nothing to compare with. What is empty has a reason in `tests/test_every_component.py`, and mostly a test of its own."""
EXPECTED = (
    """These checks of the kit fail, for what they look for is by definition otherwise. A test asserts that they do."""
)
KIT = "<!-- the checks of the kit -->"
COMPILE = """`torch.compile(objective, fullgraph=True)` is tested with every loss, without a miner, in value and
gradient. These cannot be one graph, and compile with breaks in it:"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that MkDocs found."""
    from mkdocs.structure.files import File

    for path, content in (pages() | {"figures/rooms.svg": rooms()}).items():
        files.append(File.generated(config, path, content=content))
    return files


def pages() -> dict[str, str]:
    """Path below `docs/` → Markdown."""
    described = {kind: [describe(kind, name) for name in default_registry().names(kind)] for kind in KINDS}
    made = {f"components/{PLURALS[kind]}.md": _page(kind, found) for kind, found in described.items()}
    made |= {"components/index.md": _index(described), "checks.md": _checks()}
    made["hook-reference.md"] = _hook_reference()
    if str(FOLDER.parent) not in sys.path:
        sys.path.append(str(FOLDER.parent))  # mkdocs is a program of its own, and does not look here
    from benchmarks.page import page

    return made | {"speed-and-memory.md": page()}


def on_page_markdown(markdown: str, **of: Any) -> str:
    """Put the list of the kit's checks, made of their docstrings, where a page has the mark of it."""
    return markdown.replace(KIT, kit()) if KIT in markdown else markdown


def kit() -> str:
    """A table of the checks."""
    from metricreg.testing import checks

    lines = ["| check | of | promise |", "|---|---|---|"]
    for check in checks.CHECKS.values():
        kinds = "all" if check.kinds == KINDS else ", ".join(check.kinds)
        lines.append(f"| `{check.name}` | {kinds} | {_cell(check.promise)} |")
    return "\n".join(lines)


def spec_of(kind: str, component: Any) -> dict[str, Any]:
    """A whole spec in which a component stands where its kind stands, and which some batch satisfies."""
    slots = {"distance": "distance", "reducer": "reducer", "regularizer": "embedding_regularizer", "match": "match"}
    if kind == "loss":
        return {"loss": component}
    if kind == "miner":
        return {"loss": "triplet_margin", "miner": component}
    centers = {"name": "soft_triple", "num_classes": 2, "embedding_size": 64, "centers_per_class": 2}
    ways = [{"loss": {"name": name, slots[kind]: component}} for name in ("contrastive", "margin")]
    ways.append({"loss": centers | {"weight_regularizer": component}})
    return next((spec for spec in ways if not validate(spec)), ways[0])


def _checks() -> str:
    found, meaning, refused, failures = (
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("checks", "checks-meaning", "not-compilable", "expected-failures")
    )
    lines = ["# What is tested", "", CHECKS, ""]
    for kind, checks in meaning.items():
        lines += [f"## {PLURALS[kind].capitalize()}", ""]
        lines += [*(f"- *{check}*: {text}" for check, text in checks.items()), ""]
        lines += [f"| {kind} | {' | '.join(checks)} |", "|---" * (len(checks) + 1) + "|"]
        for name, cells in found[kind].items():
            shown = (MARKS.get(cells.get(check, ""), cells.get(check, "")) for check in checks)
            lines.append(f"| [`{name}`](components/{PLURALS[kind]}.md#{_anchor(name)}) | {' | '.join(shown)} |")
        lines.append("")
    lines += ["## Compile { #compile }", "", COMPILE, "", "| loss | why not |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(reason)} |" for name, reason in refused.items()]
    lines += [
        "",
        "## Expected failures { #expected }",
        "",
        EXPECTED,
        "",
        "| component | check | why |",
        "|---|---|---|",
    ]
    lines += [
        f"| {component} | `{check}` | {_cell(reason)} |"
        for component, reasons in failures.items()
        for check, reason in reasons.items()
    ]
    return "\n".join([*lines, ""])


def _index(described: dict[str, list[Description]]) -> str:
    lines = ["# Components", "", "What is installed where this documentation was built.", ""]
    for kind, found in described.items():
        lines += [f"## {PLURALS[kind].capitalize()}", "", ROLES[kind], "", "| name | |", "|---|---|"]
        for d in found:
            first = " ".join(d.text.split("\n\n")[0].split())
            lines.append(f"| [`{d.name}`]({PLURALS[kind]}.md#{_anchor(d.name)}) | {_cell(first)} |")
        lines.append("")
    return "\n".join(lines)


def _hook_reference() -> str:
    """The hooks, as their specifications say."""
    lines = ["# Hooks", "", HOOKS_PAGE, ""]
    for kind, name in hookspecs.HOOKS.items():
        hook = getattr(hookspecs, name)
        returns = str(inspect.signature(hook).return_annotation)
        lines += [f"## {name} {{ #{name} }}", "", inspect.cleandoc(hook.__doc__), "", ROLES[kind], ""]
        lines += [f"Returns `{returns}`.", "", "```python", "from metricreg import hookimpl", "", ""]
        lines += [
            "@hookimpl",
            f"def {name}() -> dict[str, str]:",
            f'    return {{"mine": "acme.{kind}:Mine"}}',
            "```",
            "",
        ]
    return "\n".join(lines)


def _page(kind: str, found: list[Description]) -> str:
    lines = [f"# {PLURALS[kind].capitalize()}", "", ROLES[kind], ""]
    for d in found:
        lines += [f"## {d.name} {{ #{_anchor(d.name)} }}", "", d.text, ""]
        if d.parameters:
            lines += ["| parameter | type | default | |", "|---|---|---|---|"]
            lines += [
                f"| `{p.name}` | {_cell(html.escape(p.type))} | `{_cell(p.default)}` | {_cell(p.text)} |"
                for p in d.parameters
            ]
            lines.append("")
        spec = json.dumps(spec_of(kind, d.example), ensure_ascii=False)
        lines += ["```json", spec, "```", "", f"`{d.path}`, shipped by {d.distribution}.", ""]
    return "\n".join(lines)


# -- the rooms, legible on a light and on a dark page ----------------------------------------------------------------

STYLE = """
svg { color: #24292f; font-family: system-ui, sans-serif }
text { fill: currentColor; font-size: 11px }
text.room { font-size: 13px; font-weight: 600 }
text.aside { fill-opacity: 0.65 }
rect { fill-opacity: 0.12; stroke-opacity: 0.6; rx: 5px }
.program { fill: #d9730d; stroke: #d9730d }
.ships { fill: #2f81f7; stroke: #2f81f7 }
.core { fill: #2da44e; stroke: #2da44e }
@media (prefers-color-scheme: dark) { svg { color: #c9d1d9 } }
"""
SORTS = {"program": "commands", "ships": "components that ship", "core": "what everything stands on"}
PROGRAMS = {"cli", "training", "explanation", "doctor", "testing", "new_plugin", "bench"}
WIDTH, EDGE, GAP, LINE, CHARACTER = 960, 20, 10, 14, 5.8


def layers() -> list[list[str]]:
    """The rooms as import-linter checks them, each row standing on those below."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip().removeprefix("metricreg.") for room in row.split("|")] for row in found]


def rooms() -> str:
    """A picture of the layers: a box a room, with the first sentence of its docstring."""
    y, drawn = 26, []
    for row in layers():
        width = (WIDTH - 2 * EDGE - GAP * (len(row) - 1)) / len(row)
        said = [textwrap.wrap(_first_sentence(room), int((width - 20) / CHARACTER)) for room in row]
        height = 24 + LINE * max(map(len, said))
        for k, (room, lines) in enumerate(zip(row, said, strict=True)):
            x = EDGE + k * (width + GAP)
            drawn += [
                f'<rect class="{_sort(room)}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}"/>',
                _text(x + 10, y + 17, room, "room"),
                *(_text(x + 10, y + 32 + LINE * n, line) for n, line in enumerate(lines)),
            ]
        y += height + GAP
    key, x = [_text(EDGE, 16, "A room imports from those below it alone.", "aside")], WIDTH - 420
    for sort, text in SORTS.items():
        key += [f'<rect class="{sort}" x="{x}" y="7" width="10" height="10"/>', _text(x + 16, 16, text, "aside")]
        x += 40 + 6 * len(text)
    size = f'viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    body = "\n".join([f"<style>{STYLE}</style>", *key, *drawn])
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>\n{body}\n</svg>\n'


def _text(x: float, y: float, text: str, sort: str = "") -> str:
    kind = f' class="{sort}"' if sort else ""
    return f'<text{kind} x="{x:.0f}" y="{y}">{html.escape(text)}</text>'


def _sort(room: str) -> str:
    return "program" if room in PROGRAMS else "ships" if room in (*PLURALS.values(), "builtin") else "core"


def _first_sentence(room: str) -> str:
    """Of the docstring of a room, whether it is a package or a module."""
    base = FOLDER.parent / "metricreg" / room
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("`", "").partition(". ")[0].rstrip(".")


def _anchor(name: str) -> str:
    return name.replace("/", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
