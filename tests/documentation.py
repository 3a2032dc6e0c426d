"""Pages of documentation, and checking every fenced block in them by running it.

What is done with a block follows from its language:

- `python`: run, all blocks of a page in one namespace. With `title="acme.py"` it is written there and imported.
- `json`, `toml`, `yaml`: a document with `loss` is built, one with `pipeline` is parsed as an experiment, a TOML one
  with `project` is a pyproject file. With `title="spec.json"` it is written there too.
- `sh`: `metricreg` commands are run (`train` is parsed, and its experiment file with it); `pip install` of a folder
  with a pyproject file makes its entry points known; of everything else, the files and names it mentions are checked.
- `text` after a `python` or `sh` block: what that printed; `...` stands for anything.

A comment on the line before a block changes that, see `MARKER`.
"""

from __future__ import annotations

import configparser
import importlib
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

import metricreg
import metricreg.registry.registry
from metricreg.cli import app
from metricreg.registry import Registry
from metricreg.registry.entry_points import load_entry_points
from metricreg.spec.document import load
from metricreg.training.experiment import Experiment

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

MARKER = re.compile(
    r"""<!--\ docs:\ (
        illustration            # a diagram or a listing of files: nothing to run
        | component\ \w+        # a component of that kind, not a whole spec: created
        | invalid               # a spec that validate must find a problem in
        | exit\ 1               # the last command ends with 1
        | not\ run\ \(.{10,}\)  # with the reason; listed in test_docs.py
    )\ -->$""",
    re.VERBOSE,
)
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?$")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    line: int
    language: str
    title: str
    text: str
    marker: str


def blocks_of(markdown: str) -> Iterator[Block]:
    """Every fenced block, in order; an opening fence that cannot be read is an error."""
    lines = markdown.split("\n")
    at, before = 0, ""
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.lstrip().startswith(("```", "~~~")):
            before = line.strip() or before
            continue
        opening = FENCE.match(line)
        assert opening, f"line {at}: cannot read the fence {line!r}"
        marker = ""
        if before.startswith("<!-- docs:"):
            found = MARKER.match(before)
            assert found, f"line {at}: unknown marker {before!r}"
            marker = found[1]
        start, indent = at, opening["indent"]
        while at < len(lines) and lines[at].strip() != opening["fence"]:
            at += 1
        assert at < len(lines), f"line {start}: the fence is never closed"
        text = "\n".join(part.removeprefix(indent) for part in lines[start:at]) + "\n"
        yield Block(start, opening["language"], opening["title"] or "", text, marker)
        at, before = at + 1, ""


def modules_of(name: str, markdown: str) -> dict[str, str]:
    """The Python of a page as files for a type checker, each line where it stands on the page.

    A block with a title is a file of its own. All others are one file, as they share a namespace.
    """
    files: dict[str, str] = {}
    for block in blocks_of(markdown):
        if block.language == "python" and not block.marker.startswith(("illustration", "not run")):
            file = block.title or f"{name}.py"
            above = files.get(file, "")
            files[file] = above + "\n" * (block.line - above.count("\n")) + block.text
    return files


def is_shown(expected: str, printed: str) -> bool:
    """Whether something was printed, where `...` stands for anything and a space for any of white space."""
    # one part after another, each as early as it can be: a regular expression would try all the ways there are
    first, *others = [" ".join(part.split()) for part in expected.split("...")]
    rest = " ".join(printed.split())
    same = rest.startswith(first) if others else rest == first
    rest = rest[len(first) :]
    for part in others[:-1]:
        at = rest.find(part)
        same, rest = same and at >= 0, rest[at + len(part) :]
    return same and (not others or rest.endswith(others[-1]))


class Page:
    """Runs the blocks of one page, in a folder and with a registry of its own."""

    def __init__(self, name: str, markdown: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.folder, self.monkeypatch = name, folder, monkeypatch
        self.blocks = list(blocks_of(markdown))
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.printed: str | None = None
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("COLUMNS", "160")
        self._forget()

    def run(self) -> int:
        """Check every block; the number of blocks. An AssertionError names page and line of the first bad one."""
        modules = set(sys.modules)
        try:
            for block in self.blocks:
                self._checked(block)
        finally:
            for name in set(sys.modules) - modules:
                if str(self.folder) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]
        return len(self.blocks)

    def _forget(self) -> None:
        """A registry that has yet to look at what is installed."""
        self.monkeypatch.setattr(metricreg.registry.registry, "_default", Registry(load_entry_points))

    def _checked(self, block: Block) -> None:
        try:
            self._check(block)
        except Exception as error:
            where = f"{self.name}:{block.line} ({block.language})"
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error

    def _check(self, block: Block) -> None:
        printed, self.printed = self.printed, None
        if block.title:
            target = self.folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        if block.marker.startswith("not run") or block.marker == "illustration":
            return
        if block.language == "text":
            assert printed is not None, "text is what the block before prints; this one follows nothing that prints"
            assert is_shown(block.text, printed), f"this is printed instead:\n{printed}"
            return
        checks = {
            "python": self._python,
            "json": self._document,
            "toml": self._document,
            "yaml": self._document,
            "sh": self._shell,
        }
        assert block.language in checks, f"no way to check a block of {block.language or 'no language'}"
        checks[block.language](block)

    # -- python ---------------------------------------------------------------------------------------------------

    def _python(self, block: Block) -> None:
        out = io.StringIO()
        with redirect_stdout(out):
            if block.title.startswith("tests/"):
                tests: dict[str, Any] = {"__name__": "tests"}
                exec(compile("\n" * block.line + block.text, self.name, "exec"), tests)
                for name, function in tests.items():
                    if name.startswith("test_"):
                        _run_test(function)
            elif block.title:
                importlib.invalidate_caches()
                name = block.title.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                module = importlib.import_module(name)
                self.namespace |= {key: value for key, value in vars(module).items() if not key.startswith("_")}
            else:
                code = compile("\n" * block.line + block.text, self.name, "exec")
                exec(code, self.namespace)
        self.printed = out.getvalue()

    # -- documents ------------------------------------------------------------------------------------------------

    def _document(self, block: Block) -> None:
        file = self.folder / (block.title or f"block{block.line}.{block.language}")
        file.write_text(block.text, encoding="utf-8")
        if block.marker.startswith("component "):
            given = json.loads(block.text)
            given = {"name": given} if isinstance(given, str) else dict(given)
            metricreg.create(block.marker.split()[1], given.pop("name"), **given)
            return
        document = load(file)
        if "pipeline" in document and "loss" not in document:
            Experiment.parse(document)
        elif "loss" in document:
            problems = metricreg.validate(document)
            if block.marker == "invalid":
                assert problems, "the spec is valid"
            else:
                assert not problems, str(problems)
                metricreg.build(document)
        elif "project" in document:
            assert block.language == "toml"
            for path in document["project"]["entry-points"]["metricreg"].values():
                assert re.fullmatch(r"[\w.]+", path), path
        else:
            raise AssertionError("neither a spec nor an experiment nor a pyproject file; mark it if it is data")

    # -- shell ----------------------------------------------------------------------------------------------------

    def _shell(self, block: Block) -> None:
        lines = block.text.replace("\\\n", " ").splitlines()
        commands = [part for line in lines for part in _chain(shlex.split(line, comments=True)) if part]
        assert commands, "an empty block"
        printed = ""
        for command in commands:
            last = command is commands[-1]
            printed += self._command(command, int(last and block.marker == "exit 1"))
        self.printed = printed

    def _command(self, words: list[str], expected: int) -> str:
        variables = {}
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, variables[name] = words.pop(0).partition("=")
        program, arguments = words[0].rpartition("/")[2], words[1:]
        known = {
            "metricreg": self._metricreg,
            "pip": self._pip,
            "tox": self._tox,
            "python": self._interpreter,
            "python3": self._interpreter,
            "pytest": self._only_files,
            "torchrun": self._only_files,  # tests/distributed/test_scripts.py runs them
            "mkdocs": self._only_files,
            "pre-commit": self._pre_commit,
            "cd": self._only_files,
        }
        assert program in known, f"no way to check the command {program}"
        if not variables:
            return known[program](arguments, expected) or ""
        assert set(variables) <= {"METRICREG_BLOCK", "METRICREG_ONLY", "METRICREG_STRICT"}, variables
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(metricreg.registry.registry, "_default", Registry(load_entry_points))
            return known[program](arguments, expected) or ""

    def _metricreg(self, arguments: list[str], expected: int) -> str:
        if arguments[:1] == ["train"]:
            group: Any = get_command(app)
            options = group.get_command(None, "train").make_context("train", arguments[1:]).params
            Experiment.parse(load(self._file(str(options["experiment"]))))
            return ""
        result = CliRunner().invoke(app, [str(self._file(a)) if a.startswith("examples/") else a for a in arguments])
        assert result.exit_code == expected, f"exit code {result.exit_code}: {result.output} {result.exception!r}"
        return result.output.replace(f"{ROOT}/", "")

    def _file(self, path: str) -> Path:
        found = [base / path for base in (self.folder, ROOT) if (base / path).exists()]
        assert found, f"there is no {path}"
        return found[0]

    def _only_files(self, arguments: list[str], expected: int) -> None:
        for argument in arguments:
            if "/" in argument or "." in argument:
                self._file(argument)

    def _interpreter(self, arguments: list[str], expected: int) -> None:
        if arguments[0] == "-m" and arguments[1].startswith(("benchmarks.", "tests.")):
            try:
                importlib.import_module(arguments[1]).arguments().parse_args(arguments[2:])
            except SystemExit as error:
                raise AssertionError(f"{arguments[1]} does not take {arguments[2:]}") from error
            return
        assert arguments[:2] == ["-m", "venv"], arguments
        assert arguments[2].startswith(".venv"), arguments

    def _pre_commit(self, arguments: list[str], expected: int) -> None:
        config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
        assert config["repos"]

    def _tox(self, arguments: list[str], expected: int) -> None:
        config = configparser.ConfigParser(interpolation=None)
        config.read(ROOT / "tox.ini")
        named = {section.removeprefix("testenv:") for section in config.sections()}
        known = named | set(re.split(r"[,\s]+", config["tox"]["env_list"]))
        for option, value in pairwise([*arguments, ""]):
            if option == "-e":
                unknown = [e for e in value.split(",") if e not in known and not re.fullmatch(r"py3\d+", e)]
                assert not unknown, f"tox has no environment {unknown}"
            elif option == "-m":
                assert re.search(rf"^\s*{value} =", config["tox"]["labels"], re.M), f"tox has no label {value}"

    def _pip(self, arguments: list[str], expected: int) -> None:
        assert arguments[0] == "install", arguments
        words = iter(arguments[1:])
        for word in words:
            if word == "-c":
                self._file(next(words))
            elif word.startswith((".", "..")):
                path, _, extras = word.partition("[")
                self._install(path, extras.rstrip("]"))
            elif not word.startswith("-"):
                name, _, extras = word.partition("[")
                if name == "metricreg":
                    self._check_extras(ROOT, extras.rstrip("]"))

    def _install(self, path: str, extras: str) -> None:
        root = next(base / path for base in (self.folder, ROOT) if (base / path / "pyproject.toml").is_file())
        self._check_extras(root, extras)
        if root.resolve() == ROOT:
            return
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = self.folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(exist_ok=True)
        requires = "".join(f"Requires-Dist: {text}\n" for text in project.get("dependencies", []))
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        points = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
        self.monkeypatch.syspath_prepend(str(root / "src" if (root / "src").is_dir() else root))
        importlib.invalidate_caches()
        self._forget()

    def _check_extras(self, root: Path, extras: str) -> None:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        known = project.get("optional-dependencies", {})
        unknown = [extra for extra in extras.split(",") if extra and extra not in known]
        assert not unknown, f"{project['name']} has no extra {unknown}"


def _run_test(function: Any) -> None:
    """Call a test as pytest does: with each of the arguments of `parametrize`, of which some are expected to fail."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        function()
    for given in (each for mark in marks for each in mark.args[1]):
        expected = any(mark.name == "xfail" for mark in given.marks)
        try:
            function(*given.values)
        except pytest.skip.Exception:
            continue
        except AssertionError:
            assert expected, f"{given.id} fails"
        else:
            assert not expected, f"{given.id} does not fail"


def _chain(words: list[str]) -> list[list[str]]:
    """A line of `a && b` as its commands."""
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands
