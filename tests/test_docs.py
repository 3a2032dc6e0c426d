"""Every fenced block of the README and the documentation is run or checked."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from metricreg.components.component import Component
from metricreg.testing import check_component
from metricreg.testing.checks import CHECKS
from tests.documentation import ROOT, Page, blocks_of, tomllib

# Blocks that nothing runs: page and reason, as the marker gives it.
NOT_RUN: set[tuple[str, str]] = {
    (
        "sentence-transformers.md",
        "needs sentence-transformers and an encoder; the tests of the plugin run it",
    ),
    ("ship-a-loss.md", "it uploads to PyPI"),
}

WRITTEN = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)


def _hooks() -> Any:
    specification = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


HOOKS = _hooks()
GENERATED: dict[str, str] = HOOKS.pages()


EMULATED = [path for path in WRITTEN if path.name != "ship-a-loss.md"]  # tests/new_plugin follows that one literally


@pytest.mark.parametrize("path", EMULATED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_holds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Page(path.name, path.read_text(encoding="utf-8"), tmp_path, monkeypatch).run()


@pytest.mark.parametrize("name", GENERATED)
def test_every_example_of_a_generated_page_builds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Page(name, GENERATED[name], tmp_path, monkeypatch).run() > 0 or name.endswith(
        ("index.md", "checks.md", "speed-and-memory.md")
    )


WRONG = {"Vague", "WeighedByAnchor"}
"""Components of the page on plugins that show what is refused."""


def test_components_of_the_page_on_plugins_pass_the_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page("plugins.md", (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8"), tmp_path, monkeypatch)
    page.namespace["__name__"] = "page_on_plugins"
    page.run()
    module = ModuleType("page_on_plugins")  # from which pickle takes the classes
    vars(module).update(page.namespace)
    monkeypatch.setitem(sys.modules, "page_on_plugins", module)
    own = {name: cls for name, cls in page.namespace.items() if getattr(cls, "__module__", "") == "page_on_plugins"}
    components = {name for name, cls in own.items() if isinstance(cls, type) and issubclass(cls, Component)}
    assert components > WRONG | {"TrackingLoss", "NearestPrototype", "Annealed", "CityBlock", "NearMiner", "SoftMean"}
    for name in sorted(components - WRONG):
        check_component(own[name])


def test_blocks_that_nothing_runs_are_listed_here() -> None:
    found = {
        (path.name, block.marker.removeprefix("not run ").strip("()"))
        for path in WRITTEN
        for block in blocks_of(path.read_text(encoding="utf-8"))
        if block.marker.startswith("not run")
    }
    assert found == NOT_RUN


def test_the_page_about_the_conformance_kit_lists_its_checks() -> None:
    shown = HOOKS.on_page_markdown((ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
    assert HOOKS.KIT not in shown
    for check in CHECKS.values():
        assert f"| `{check.name}` | " in shown
        assert check.promise.replace("|", "\\|") in shown


# -- the README's two commands ----------------------------------------------------------------------------------------


def _commands() -> list[str]:
    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    return [block.text.strip() for block in blocks if block.language == "sh"][:2]


def test_the_first_command_of_the_readme_sets_up_and_trains_and_can_be_run_again() -> None:
    train, _ = _commands()
    assert "\n" not in train
    assert train.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[train]' && ")
    assert train.endswith(".venv/bin/metricreg train examples/digits.json --overwrite")


def test_the_second_command_of_the_readme_sets_up_and_runs_tox() -> None:
    _, test = _commands()
    assert "\n" not in test
    assert test.startswith("python3 -m venv .venv-tox && .venv-tox/bin/pip install -c constraints.txt 'tox")
    assert test.endswith("&& .venv-tox/bin/tox")
    assert (ROOT / "tox.ini").is_file()
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_outside_the_documentation_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not gone


# -- the architecture -------------------------------------------------------------------------------------------------

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = ARCHITECTURE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line.strip("|").split("|") for line in lines[2:]]


def test_the_picture_shows_the_rooms_that_import_linter_checks() -> None:
    picture = ElementTree.fromstring(HOOKS.rooms())
    boxes = [(int(text.get("y", 0)), text.text) for text in picture.iter() if text.get("class") == "room"]
    drawn = [[room for _, room in row] for _, row in groupby(boxes, key=lambda box: box[0])]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checked = [c["layers"] for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    assert drawn == [row.replace("metricreg.", "").split(" | ") for row in checked[0]]
    assert "](figures/rooms.svg)" in ARCHITECTURE


def test_the_picture_keeps_its_words_in_their_boxes() -> None:
    picture = ElementTree.fromstring(HOOKS.rooms())
    boxes = [
        [float(box.get(key, 0)) for key in ("x", "y", "width", "height")] for box in picture.iter() if "rect" in box.tag
    ]
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        x, y, length = float(text.get("x", 0)), float(text.get("y", 0)), HOOKS.CHARACTER * len(text.text or "")
        if text.get("class") != "aside":
            assert any(a < x and x + length <= a + w and b < y < b + h for a, b, w, h in boxes), text.text


def test_the_page_says_what_every_module_does() -> None:
    modules = {path.stem for path in (ROOT / "metricreg").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "metricreg").glob("*/__init__.py")}
    described = {name for room, _ in _rows("The rooms") for name in re.findall(r"`(\w+)`", room)}
    assert described == modules | packages


def test_every_file_to_open_for_a_change_is_there() -> None:
    rows = _rows("To change something")
    assert len(rows) >= 20
    assert all(re.findall(r"`([^`]+)`", where) for _, where in rows)
    gone = [path for _, where in rows for path in re.findall(r"`([^`]+)`", where) if not (ROOT / path).exists()]
    assert not gone


def test_every_function_on_the_way_of_a_batch_is_where_the_page_says() -> None:
    named = re.findall(r"`(metricreg/[\w/]+\.py)`:\s+`([\w.]+)`", ARCHITECTURE)
    assert len(named) >= 20
    gone = []
    for path, name in named:
        scope: list[ast.stmt] = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = [node for node in scope if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
            scope = found[0].body if found else []
        gone += [] if found else [f"{path}: {name}"]
    assert not gone


# -- the checker itself -----------------------------------------------------------------------------------------------

BROKEN = {
    "python that raises": "```python\n1 / 0\n```",
    "python that does not parse": "```python\nif\n```",
    "a name that the page does not define": "```python\nprint(undefined)\n```",
    "other output": "```python\nprint(1)\n```\n\n```text\n2\n```",
    "output of nothing": "words\n\n```text\n2\n```",
    "a spec that does not build": '```json\n{"loss": "contrastiv"}\n```',
    "a spec that is called invalid and is not": '<!-- docs: invalid -->\n```json\n{"loss": "ntxent"}\n```',
    "an experiment with a misspelt section": '```json\n{"pipeline": {"loss": "ntxent"}, "dta": {}}\n```',
    "json that does not parse": '```json\n{"loss": }\n```',
    "json that is nothing known": '```json\n{"a": 1}\n```',
    "toml that does not parse": "```toml\nloss = \n```",
    "a yaml spec with a misspelt parameter": "```yaml\nloss: {name: ntxent, temprature: 1}\n```",
    "a component of another kind": '<!-- docs: component miner -->\n```json\n"ntxent"\n```',
    "a command that does not exist": "```sh\nmetricreg lst\n```",
    "a command that fails": "```sh\nmetricreg describe loss contrastiv\n```",
    "a command that should fail and does not": "<!-- docs: exit 1 -->\n```sh\nmetricreg list\n```",
    "an option that train lacks": "```sh\nmetricreg train examples/digits.json --owerwrite\n```",
    "an experiment file that is not there": "```sh\nmetricreg train examples/digts.json\n```",
    "a suite of benchmarks that is not there": "```sh\npython -m benchmarks.run isue\n```",
    "a program that nothing checks": "```sh\nmake all\n```",
    "an extra that is not there": "```sh\npip install -e '.[trian]'\n```",
    "a constraints file that is not there": "```sh\npip install -c constraint.txt -e .\n```",
    "a tox environment that is not there": "```sh\ntox -e lnt\n```",
    "a block of no language": "```\nwords\n```",
    "a block of an unknown language": "```ruby\nputs 1\n```",
    "a fence that is never closed": "```python\nprint(1)\n",
    "an unknown marker": "<!-- docs: skip -->\n```python\nprint(1)\n```",
    "a block that is not run without a reason": "<!-- docs: not run -->\n```python\nprint(1)\n```",
}


@pytest.mark.parametrize("markdown", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_block_fails(markdown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        Page("broken.md", markdown, tmp_path, monkeypatch).run()


def test_a_failure_names_page_line_and_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page("page.md", "# Title\n\n```python\nx = 1\n```\n\n```python\nx / 0\n```\n", tmp_path, monkeypatch)
    with pytest.raises(AssertionError, match=r"page\.md:7 \(python\): ZeroDivisionError"):
        page.run()


def test_a_broken_plugin_on_a_page_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    broken = page.replace('return {"clipped_mean"', 'raise OSError("no disk")\n    return {"clipped_mean"')
    assert broken != page
    with pytest.raises(AssertionError, match=r"(?s)plugins\.md:\d+ \(sh\).*no disk"):
        Page("plugins.md", broken, tmp_path, monkeypatch).run()
