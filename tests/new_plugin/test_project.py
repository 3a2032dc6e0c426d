"""`metricreg new-plugin`: what it writes, and what it refuses to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from typer.testing import CliRunner

import metricreg
from metricreg.cli import app
from metricreg.new_plugin.names import names_of
from metricreg.new_plugin.project import STARTERS, TEMPLATES, files, write
from metricreg.registry import KINDS
from tests.documentation import tomllib
from tests.new_plugin.plugin import NAME, install, make, run_tests
from tests.type_checkers import said_by_mypy


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["new-plugin", *arguments])
    return done.exit_code, done.output


# -- what is written --------------------------------------------------------------------------------------------------


def test_a_plugin_of_all_kinds_passes_its_tests_and_mypy(tmp_path: Path) -> None:
    project = make(tmp_path, *KINDS)
    install(project, tmp_path / "site")
    said = run_tests(project, tmp_path / "site")
    assert re.search(r"\d+ passed", said), said
    assert "failed" not in said
    assert said_by_mypy(project) == []


def test_every_kind_has_a_component_to_start_with() -> None:
    assert set(STARTERS) == set(KINDS)
    assert {path.name for path in TEMPLATES.iterdir()} == {"project", *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_has_the_components_that_are_wanted_and_no_others(kind: str) -> None:
    names = names_of(NAME)
    others = {STARTERS[other].name for other in KINDS if other != kind}
    found = files(names, [kind], metricreg.__version__)
    assert f"{names.package}/{STARTERS[kind].name}.py" in found
    assert f"tests/test_{STARTERS[kind].name}.py" in found
    assert not [path for path in found if any(other in path for other in others)]
    assert not [path for path, text in found.items() if any(f"/{other}" in text for other in others)]


def test_no_placeholder_is_left_and_the_name_stands_everywhere() -> None:
    found = files(names_of("other-name"), KINDS, metricreg.__version__)
    assert not [path for path, text in found.items() if "{{" in text or "acme" in text.lower()]
    assert tomllib.loads(found["pyproject.toml"])["project"]["name"] == "other-name"
    assert json.loads(found["spec.json"])["loss"]["name"] == "other-name/soft_contrastive"


@pytest.mark.parametrize(
    ("version", "requires"),
    [("0.1.0", ">=0.1,<1"), ("0.12.3", ">=0.12,<1"), ("2.5.1", ">=2.5,<3"), ("1.0.0rc1", ">=1.0.0rc1,<2")],
)
def test_a_plugin_is_for_the_versions_like_the_one_that_writes_it(version: str, requires: str) -> None:
    project = tomllib.loads(files(names_of(NAME), ["loss"], version)["pyproject.toml"])["project"]
    assert project["dependencies"] == [f"metricreg{requires}"]
    assert Requirement(project["dependencies"][0]).specifier.contains(Version(version), prereleases=True)


def test_what_is_written_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = invoke("Metricreg.Acme", "--with", "losses, reducer,loss")
    assert code == 0
    assert "Wrote metricreg-acme, a plugin with acme/soft_contrastive (loss), acme/clipped_mean (reducer)." in said
    assert "\n  cd metricreg-acme\n  pip install -e '.[test]'\n  pytest\n" in said
    wanted = files(names_of(NAME), ["loss", "reducer"], metricreg.__version__)
    written = {path.relative_to(NAME).as_posix(): path for path in Path(NAME).rglob("*") if path.is_file()}
    assert {path: file.read_text(encoding="utf-8") for path, file in written.items()} == wanted
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_loss_is_what_a_plugin_starts_with_if_nothing_is_said(tmp_path: Path) -> None:
    assert invoke(NAME, "--directory", str(tmp_path))[0] == 0
    assert (tmp_path / NAME / "metricreg_acme" / "soft_contrastive.py").is_file()


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my plugin"], "'my plugin' is no name of a distribution"),
        ([NAME, "--with", "los"], "kinds of components, separated by commas: distance, loss, reducer"),
        ([NAME, "--with", ""], "separated by commas: distance, loss, reducer, regularizer, miner, match; got ''"),
        ([NAME, "--with", "loss,,reducer"], "got ''"),
        ([NAME, "--directory", "nowhere"], "there is no folder nowhere; make it first"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = invoke(*arguments)
    assert (code, message in said) == (1, True), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    taken = tmp_path / NAME
    {"folder": taken.mkdir, "file": taken.touch, "link": lambda: taken.symlink_to("nowhere")}[there]()
    code, said = invoke(NAME, "--directory", str(tmp_path))
    assert code == 1
    assert "is already there, and nothing is overwritten; choose another name, or --directory" in said
    assert list(tmp_path.iterdir()) == [taken]
    assert not taken.is_dir() or list(taken.iterdir()) == []


def test_all_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = files(names_of(NAME), KINDS, metricreg.__version__)
    original, written = Path.write_text, []

    def full_disk(path: Path, text: str, **options: str) -> int:
        written.append(path)
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        return original(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(metricreg.InputError, match=f"cannot write .*{NAME}: No space left on device"):
        write(texts, tmp_path / NAME)
    assert len(written) == 5
    assert list(tmp_path.iterdir()) == []
