"""`metricreg lock`, `migrate` and `diff`: what they print and write, and how they exit."""

from __future__ import annotations

import inspect
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import metricreg
import metricreg.registry.registry
from metricreg.cli import app
from metricreg.registry import Registry
from metricreg.registry.entry_points import load_entry_points
from metricreg.spec.document import load
from metricreg.spec.lock import compatible
from metricreg.spec.versions import MIGRATIONS
from tests.components.renamed import CLASSES, spec_with

Run = Callable[..., Result]
KEPT_APART = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
RUNNER = CliRunner(**KEPT_APART)  # click before 8.2 would put standard error into standard output
OWN = compatible(metricreg.__version__)
HOOKS = "".join(
    f"@hookimpl\ndef metricreg_{'matches' if kind == 'match' else kind + ('es' if kind == 'loss' else 's')}():\n"
    f"    return {{'new': '{cls.__module__}:{cls.__qualname__}'}}\n"
    for kind, cls in CLASSES.items()
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Runs a command in an empty folder, with `acme-losses` 1.3.2 installed, which has the classes of `renamed`."""
    site = tmp_path / "site"
    info = site / "acme_losses-1.3.2.dist-info"
    info.mkdir(parents=True)
    (site / "acme_renamed_hooks.py").write_text(f"from metricreg import hookimpl\n{HOOKS}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-losses\nVersion: 1.3.2\n")
    (info / "entry_points.txt").write_text("[metricreg]\nacme = acme_renamed_hooks\n")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(str(site))

    def run(*words: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(metricreg.registry.registry, "_default", Registry(load_entry_points))
            return RUNNER.invoke(app, list(words))

    yield run
    sys.modules.pop("acme_renamed_hooks", None)


def write(path: str, text: str) -> str:
    Path(path).write_bytes(text.encode())
    return path


def read(path: str) -> str:
    return Path(path).read_bytes().decode()


# -- lock -------------------------------------------------------------------------------------------------------------

REQUIRES = {"metricreg": OWN, "acme-losses": ">=1.3.2,<2"}
LINES = "".join(f'  {name}: "{of}"\n' for name, of in REQUIRES.items())
INLINE = json.dumps(REQUIRES)
TABLE = "".join(f'{name} = "{of}"\n' for name, of in REQUIRES.items())

LOCKED = {
    "lines.json": (
        '{\n    "loss": {"name": "acme/new", "cap": 5e-1},\n\t"version": 1\n}\n',
        f'{{\n    "loss": {{"name": "acme/new", "cap": 5e-1}},\n\t"version": 1,\n    "requires": {INLINE}\n}}\n',
    ),
    "one.json": ('{"loss":"acme/new"}', f'{{"loss":"acme/new", "requires": {INLINE}}}'),
    "empty.json": ('{"requires": { },"loss":"acme/new"}', '{"requires": {' + INLINE[1:] + ',"loss":"acme/new"}'),
    "there.json": (
        '{"loss": "acme/new", "requires": {\n  "torch": ">=2"\n}}',
        '{"loss": "acme/new", "requires": {\n  "torch": ">=2",\n  '
        + ",\n  ".join(f'"{name}": "{of}"' for name, of in REQUIRES.items())
        + "\n}}",
    ),
    "experiment.json": (
        '{\n  "pipeline": {\n    "loss": "acme/new"\n  },\n  "trainer": {"epochs": 1}\n}',
        f'{{\n  "pipeline": {{\n    "loss": "acme/new",\n    "requires": {INLINE}\n  }},\n  "trainer": {{"epochs": 1}}\n}}',
    ),
    "block.yaml": (
        "# a comment\nversion: 1   # one\nloss:\n  name: acme/new\n  cap: 0.50 # half\n",
        f"# a comment\nversion: 1   # one\nloss:\n  name: acme/new\n  cap: 0.50 # half\nrequires:\n{LINES}",
    ),
    "no_newline.yml": ("loss: acme/new", f"loss: acme/new\nrequires:\n{LINES}"),
    "windows.yaml": ("loss: acme/new\r\n", f"loss: acme/new\r\nrequires:\n{LINES}".replace("es:\n", "es:\r\n")),
    "flow.yaml": ("{loss: acme/new, }\n", f'{{loss: acme/new, "requires": {INLINE} }}\n'),
    "there.yaml": (
        "requires:\n    # pinned\n    torch: '>=2'\nloss: acme/new\n",
        "requires:\n"
        + "".join(f'    {n}: "{of}"\n' for n, of in reversed(REQUIRES.items()))
        + "    # pinned\n    torch: '>=2'\nloss: acme/new\n",
    ),
    "experiment.yaml": (
        "pipeline:\n  loss: acme/new\ntrainer:\n  epochs: 1\n",
        "pipeline:\n  requires:\n" + LINES.replace("  ", "    ") + "  loss: acme/new\ntrainer:\n  epochs: 1\n",
    ),
    "table.toml": (
        "version = 1 # one\n\n[loss]\nname = 'acme/new'\n",
        f"version = 1 # one\n\n[loss]\nname = 'acme/new'\n\n[requires]\n{TABLE}",
    ),
    "there.toml": (
        "loss = 'acme/new'\n[requires] # what it needs\ntorch = '>=2' # or so\n",
        "loss = 'acme/new'\n[requires] # what it needs\n"
        + "".join(f'{n} = "{of}"\n' for n, of in reversed(REQUIRES.items()))
        + "torch = '>=2' # or so\n",
    ),
    "inline.toml": (
        "loss = 'acme/new'\nrequires = {torch='>=2'}\n",
        "loss = 'acme/new'\nrequires = {"
        + "".join(f'{n} = "{of}", ' for n, of in reversed(REQUIRES.items()))
        + "torch='>=2'}\n",
    ),
    "dotted.toml": (
        "loss = 'acme/new'\nrequires.torch = '>=2'\n",
        "".join(f'requires.{n} = "{of}"\n' for n, of in reversed(REQUIRES.items()))
        + "loss = 'acme/new'\nrequires.torch = '>=2'\n",
    ),
    "experiment.toml": (
        "[pipeline]\nloss = 'acme/new'\n[trainer]\nepochs = 1\n",
        f"[pipeline]\nloss = 'acme/new'\n[trainer]\nepochs = 1\n\n[pipeline.requires]\n{TABLE}",
    ),
}


@pytest.mark.parametrize("name", LOCKED)
def test_lock_changes_nothing_else_in_the_file(run: Run, name: str) -> None:
    before, after = LOCKED[name]
    write(name, before)
    result = run("lock", name)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"{name}: requires {of} {REQUIRES[of]}" for of in REQUIRES]
    if name == "windows.yaml":
        assert "\n" not in read(name).replace("\r\n", "")
        assert load(name)["requires"] == REQUIRES
    else:
        assert read(name) == after
    again = run("lock", name)
    assert again.stdout == f"{name}: requires what it uses already\n"
    assert os.listdir() == [name]


@pytest.mark.parametrize("name", [name for name in LOCKED if name.startswith("there") or "inline" in name])
def test_lock_writes_exact_versions_in_the_place_of_ranges(run: Run, name: str) -> None:
    run("lock", write(name, LOCKED[name][0]))
    result = run("lock", "--exact", name)
    assert f"{name}: requires acme-losses ==1.3.2, was >=1.3.2,<2" in result.stdout
    expected = LOCKED[name][1].replace(">=1.3.2,<2", "==1.3.2").replace(OWN, f"=={metricreg.__version__}")
    assert read(name) == expected
    assert run("lock", "--upgrade", name).exit_code == 0
    assert read(name) == LOCKED[name][1]


def test_a_value_without_quotes_gets_them_where_it_needs_them(run: Run) -> None:
    write("x.yaml", "loss: acme/new # the loss\nrequires:\n  acme-losses: ==1.3.2 # pinned\n")
    assert run("lock", "--upgrade", "x.yaml").exit_code == 0
    assert '  acme-losses: ">=1.3.2,<2" # pinned\n' in read("x.yaml")
    assert run("lock", "--exact", "x.yaml").exit_code == 0
    assert '  acme-losses: "==1.3.2" # pinned\n' in read("x.yaml")


def test_what_is_printed_or_written_elsewhere_leaves_the_file_as_it_is(run: Run) -> None:
    before, after = LOCKED["block.yaml"]
    write("a.yaml", before)
    assert run("lock", "a.yaml", "--output", "-").stdout == after
    assert run("lock", "a.yaml", "-o", "b.yaml").exit_code == 0
    assert read("b.yaml") == after
    assert run("lock", "a.yaml", "-o", "b.json").exit_code == 0
    assert json.loads(read("b.json")) == load("b.yaml")
    assert read("a.yaml") == before
    result = run("lock", "a.yaml", "-o", "b.toml")
    assert result.exit_code == 1
    assert "cannot write b.toml: give a file with the extension .yaml or .json" in result.stderr
    assert not Path("b.toml").exists()
    assert run("lock", "b.yaml", "-o", "c.yaml").exit_code == 0  # with nothing to change
    assert read("c.yaml") == after


UNCHANGEABLE = "pipeline = {loss = 'acme/new'}\n"


def test_a_text_that_cannot_be_changed_is_left_alone_and_may_be_written_as_json(run: Run) -> None:
    write("x.toml", UNCHANGEABLE)
    result = run("lock", "x.toml")
    assert result.exit_code == 1
    assert "cannot rewrite x.toml" in result.stderr
    assert "--output FILE.json" in result.stderr
    assert read("x.toml") == UNCHANGEABLE
    assert run("lock", "x.toml", "-o", "x.json").exit_code == 0
    assert load("x.json") == {"pipeline": {"loss": "acme/new", "requires": REQUIRES}}


@pytest.mark.parametrize("command", ["lock", "migrate"])
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", '{"loss": "nothing"}', "x.json: invalid spec: /loss: unknown loss 'nothing'"),
        ("x.json", '{"pipeline": {"loss": "nothing"}}', "/pipeline/loss: unknown loss 'nothing'"),
        ("x.json", '{"pipeline": 3}', "/pipeline: a spec is an object"),
        ("x.json", '{"loss": ', "cannot read x.json"),
        ("x.txt", "{}", "unknown file type '.txt'"),
        (
            "x.json",
            '{"loss": "acme/new", "requires": {"acme-losses": ">=2"}}',
            "1.3.2 is installed, and this spec needs >=2",
        ),
        ("x.json", '{"loss": "acme/new", "version": 7}', "/version: version 7 of the format needs a newer metricreg"),
    ],
)
def test_a_file_with_problems_is_left_alone(run: Run, command: str, name: str, text: str, said: str) -> None:
    result = run(command, write(name, text))
    assert result.exit_code == 1
    assert said in result.stderr
    assert read(name) == text
    assert run(command, "absent.json").exit_code == 1


def test_permissions_links_and_byte_order_marks_stay(run: Run) -> None:
    write("real.json", "\ufeff" + LOCKED["one.json"][0])
    os.chmod("real.json", 0o640)
    os.symlink("real.json", "link.json")
    assert run("lock", "link.json").exit_code == 0
    assert os.path.islink("link.json")
    assert read("real.json") == "\ufeff" + LOCKED["one.json"][1]
    assert stat.S_IMODE(os.stat("real.json").st_mode) == 0o640


def test_a_file_that_cannot_be_written_is_left_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.json", LOCKED["one.json"][0])

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    result = run("lock", "x.json")
    assert result.exit_code == 1
    assert "cannot write x.json: No space left on device" in result.stderr
    assert read("x.json") == LOCKED["one.json"][0]
    assert os.listdir() == ["x.json"]
    monkeypatch.undo()


# -- migrate ----------------------------------------------------------------------------------------------------------

MIGRATED = {
    "x.json": (
        '{"loss": {"name": "acme/old", "limit": 5e-1,\n"reducer":{"name":"acme/new","old_inner":"acme/older"}}}\n',
        '{"loss": {"name": "acme/new", "cap": 5e-1,\n"reducer":{"name":"acme/new","inner":"acme/new"}}}\n',
    ),
    "x.yaml": (
        "# the limit of acme/old\nloss:\n  name: 'acme/old' # old\n  limit: 0.50\n"
        '  reducer: {name: acme/new, "old_inner": acme/older}\n',
        "# the limit of acme/old\nloss:\n  name: 'acme/new' # old\n  cap: 0.50\n"
        '  reducer: {name: acme/new, "inner": acme/new}\n',
    ),
    "x.toml": (
        "# the limit of acme/old\n[loss]\nname = 'acme/old' # old\nlimit = 0.50\n[loss.reducer]\n"
        "name = \"acme/new\"\nold_inner = 'acme/older'\n",
        "# the limit of acme/old\n[loss]\nname = 'acme/new' # old\ncap = 0.50\n[loss.reducer]\n"
        "name = \"acme/new\"\ninner = 'acme/new'\n",
    ),
    "table.toml": (
        "[pipeline.loss]\nname = 'contrastive'\n[pipeline.loss.reducer]\nname = 'acme/new'\n"
        "[pipeline.loss.reducer.old_inner]\nname = 'acme/new'\nlimit = 2\n",
        "[pipeline.loss]\nname = 'contrastive'\n[pipeline.loss.reducer]\nname = 'acme/new'\n"
        "[pipeline.loss.reducer.inner]\nname = 'acme/new'\ncap = 2\n",
    ),
    "names.json": (  # where a name stands for something else too
        '{"loss": {"name": "multiple", "losses": {"limit": {"name": "acme/new", "limit": 1}, "acme/old": "acme/old"}}}',
        '{"loss": {"name": "multiple", "losses": {"limit": {"name": "acme/new", "cap": 1}, "acme/old": "acme/new"}}}',
    ),
}


@pytest.mark.parametrize("name", MIGRATED)
def test_migrate_writes_the_names_of_now_and_changes_nothing_else(run: Run, name: str) -> None:
    before, after = MIGRATED[name]
    write(name, before)
    result = run("migrate", name)
    assert result.exit_code == 0, result.output
    assert read(name) == after
    assert all(line.startswith(f"{name}: /") and ", was " in line for line in result.stdout.splitlines())
    assert result.stderr == ""
    assert run("migrate", name).stdout == f"{name}: is up to date\n"


@pytest.mark.usefixtures("version_0")
def test_an_older_version_of_the_format_is_written_anew_as_json(run: Run) -> None:
    write("x.json", '{"version": 0, "objective": {"name": "acme/new", "limit": 2}}')
    result = run("migrate", "x.json")
    assert result.stdout.splitlines() == ["x.json: version 1 of the format", "x.json: /loss/limit: cap, was limit"]
    assert load("x.json") == {"version": 1, "loss": {"name": "acme/new", "cap": 2}}
    assert read("x.json").startswith('{\n  "version": 1,\n')
    write("x.yaml", "version: 0 # old\nobjective: ntxent\n")
    result = run("migrate", "x.yaml")
    assert result.exit_code == 1
    assert "cannot rewrite x.yaml" in result.stderr
    assert read("x.yaml") == "version: 0 # old\nobjective: ntxent\n"
    assert run("migrate", "x.yaml", "-o", "y.json").exit_code == 0
    assert load("y.json") == {"version": 1, "loss": "ntxent"}


@pytest.fixture
def version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_0(document: dict[str, Any]) -> dict[str, Any]:
        return {"loss" if key == "objective" else key: value for key, value in document.items()}

    monkeypatch.setitem(MIGRATIONS, 0, of_0)


# -- diff -------------------------------------------------------------------------------------------------------------


def test_diff_prints_what_differs_and_exits_like_diff(run: Run) -> None:
    write("a.json", '{"loss": {"name": "acme/old", "limit": 1}}')
    write("b.yaml", "loss: acme/new\n")
    same = run("diff", "a.json", "b.yaml")
    assert (same.exit_code, same.stdout) == (0, "")
    write("c.toml", "[loss]\nname = 'acme/new'\ncap = 2\n")
    other = run("diff", "a.json", "c.toml")
    assert (other.exit_code, other.stdout) == (1, "/loss/cap: 1.0 -> 2.0\n")
    as_json = run("diff", "a.json", "c.toml", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout) == [{"pointer": "/loss/cap", "change": "changed", "old": 1.0, "new": 2.0}]
    assert json.loads(run("diff", "a.json", "b.yaml", "--json").stdout) == []
    assert run("diff", "ntxent", '{"loss": "ntxent"}').exit_code == 0
    assert (
        "/loss/temperature: 0.07 -> 0.1"
        in run("diff", "ntxent", '{"loss": {"name": "ntxent", "temperature": 0.1}}').stdout
    )


@pytest.mark.parametrize("wrong", ["absent.json", "nothing", "{", '{"loss": "nothing"}', '{"pipeline": 3}'])
def test_diff_exits_with_2_where_one_is_no_spec(run: Run, wrong: str) -> None:
    for words in ((wrong, "ntxent"), ("ntxent", wrong)):
        result = run("diff", *words)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr


def test_experiments_are_compared_as_a_whole(run: Run) -> None:
    write("a.json", '{"pipeline": {"loss": "acme/old"}}')
    write(
        "b.json",
        '{"pipeline": {"loss": "acme/new"}, "trainer": {"epochs": 77}, "optimizer": {"name": "adam", "lr": 0.5}}',
    )
    result = run("diff", "a.json", "b.json")
    assert result.exit_code == 1
    pointers = [line.partition(":")[0] for line in result.stdout.splitlines()]
    assert sorted(pointers) == ["/optimizer/lr", "/trainer/epochs"]
    assert run("diff", "a.json", "acme/new").exit_code == 0  # with a spec, the pipeline alone
    write("c.json", '{"pipeline": {"loss": "nothing"}}')
    assert "c.json: invalid experiment: /pipeline/loss: unknown loss" in run("diff", "a.json", "c.json").stderr


# -- other commands ---------------------------------------------------------------------------------------------------


def test_validate_notes_former_names(run: Run) -> None:
    write("a.json", json.dumps({"pipeline": spec_with("reducer", {"name": "acme/old", "limit": 2})}))
    result = run("validate", "a.json")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert [line.split(": ")[1] for line in result.stdout.splitlines()[1:]] == [
        "/pipeline/loss/reducer/name",
        "/pipeline/loss/reducer/limit",
        "metricreg migrate a.json writes the names of now",
    ]
    (found,) = json.loads(run("validate", "--json", "a.json").stdout).values()
    assert found["problems"] == found["unchecked"] == []
    assert [(each["pointer"], each["former"], each["current"]) for each in found["renamed"]] == [
        ("/pipeline/loss/reducer/name", "acme/old", "acme/new"),
        ("/pipeline/loss/reducer/limit", "limit", "cap"),
    ]
    assert found["renamed"][1]["since"] == "1.3"


def test_describe_and_list_show_the_names_of_now(run: Run) -> None:
    listed = run("list", "--json").stdout
    assert "acme/new" in listed
    assert "acme/old" not in listed
    described = run("describe", "reducer", "acme/old").stdout
    assert described.startswith("reducer acme/new")
    assert "Formerly   acme/old, acme/older, limit (cap), old_inner (inner)" in described
    assert "which reducer?" not in run("describe", "acme/old").output
    assert "is the name of a" in run("describe", "acme/old").stderr  # of each kind there is one


def test_a_command_that_builds_warns_on_one_line(run: Run) -> None:
    spec = json.dumps({"loss": {"name": "acme/new", "limit": 2}})
    result = run("explain", spec, "--batch", "16", "--dim", "4")
    assert result.exit_code == 0, result.output
    assert [line for line in result.stderr.splitlines() if "limit" in line] == [
        "/loss/limit: 'limit', a parameter of the loss 'acme/new' of acme-losses, is called 'cap' since version 1.3; "
        'write "cap": 2 in place of "limit": 2'
    ]
