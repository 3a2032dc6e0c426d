"""Pages that are made when the documentation is built: of the registry one page a kind and an index; what is tested;
what was measured."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricreg.registry import KINDS, default_registry
from metricreg.spec.describe import Description, describe

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


FOLDER = Path(__file__).parent
MARKS = {"yes": "✓", "none there": "–"}
CHECKS = """Which checks each component passes. The table is written by the test run (`pytest --record-checks`), and a
test asserts that it has a row for every component that ships. A number counts with how many distances or reducers;
*refused* means that a clear error says so, and is tested too; – that there is nothing to compare with. What is empty
has a reason in `tests/test_every_component.py`, and mostly a test of its own."""
COMPILE = """`torch.compile(objective, fullgraph=True)` is tested with every loss, without a miner, in value and
gradient. These cannot be one graph, and compile with breaks in it:"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that MkDocs found."""
    from mkdocs.structure.files import File

    for path, content in (pages() | figures()).items():
        files.append(File.generated(config, path, content=content))
    return files


def pages() -> dict[str, str]:
    """Path below `docs/` → Markdown."""
    described = {kind: [describe(kind, name) for name in default_registry().names(kind)] for kind in KINDS}
    made = {f"components/{PLURALS[kind]}.md": _page(kind, found) for kind, found in described.items()}
    made |= {"components/index.md": _index(described), "checks.md": _checks()}
    return made | {"speed-and-memory.md": _benchmarks().page()}


def figures() -> dict[str, str]:
    """Path below `docs/` → SVG."""
    found: dict[str, str] = _benchmarks().figures()
    return found


def _benchmarks() -> Any:
    if str(FOLDER.parent) not in sys.path:
        sys.path.append(str(FOLDER.parent))  # mkdocs is a program of its own, and does not look here
    from benchmarks import page

    return page


def spec_of(kind: str, component: Any) -> dict[str, Any]:
    """A whole spec in which a component stands where its kind stands."""
    slots = {"distance": "distance", "reducer": "reducer", "regularizer": "embedding_regularizer", "match": "match"}
    if kind == "loss":
        return {"loss": component}
    if kind == "miner":
        return {"loss": "contrastive", "miner": component}
    return {"loss": {"name": "contrastive", slots[kind]: component}}


def _checks() -> str:
    found, meaning, refused = (
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("checks", "checks-meaning", "not-compilable")
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


def _anchor(name: str) -> str:
    return name.replace("/", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
