"""New plugins of each kind alone, and one of all kinds by its own tox. It takes minutes, so it is asked for by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metricreg.registry import KINDS
from tests.new_plugin.plugin import install, make, run, run_tests
from tests.type_checkers import ROOT, said_by_mypy, said_by_pyright


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=",".join)
def test_a_new_plugin_passes_its_tests_and_type_checkers(kinds: tuple[str, ...], tmp_path: Path) -> None:
    project = make(tmp_path, *kinds)
    install(project, tmp_path / "site")
    assert " passed" in run_tests(project, tmp_path / "site")
    assert said_by_mypy(project) == []
    assert said_by_pyright(project) == []


def test_a_new_plugin_is_formatted(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    project = make(tmp_path, *KINDS)
    ruff = [sys.executable, "-m", "ruff"]
    run([*ruff, "format", "--isolated", "--line-length=120", "--check"], project)
    run([*ruff, "check", "--isolated", "--line-length=120", "--select=E,F,W,UP,B,C4,SIM,PIE,RET,PERF,N"], project)


def test_the_tox_of_a_new_plugin_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = tmp_path / "wheels"
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels)]
    run([sys.executable, "-m", "pip", *build, str(ROOT)], tmp_path)
    constraint = tmp_path / "wheel.txt"
    constraint.write_text(f"metricreg @ {next(wheels.iterdir()).as_uri()}\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONSTRAINT", f"{os.environ.get('PIP_CONSTRAINT', '')} {constraint}".strip())
    project = make(tmp_path, *KINDS)
    said = run([sys.executable, "-m", "tox"], project)
    assert "congratulations" in said, said
