"""A plugin that `metricreg new-plugin` has written: made, installed, and its tests run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metricreg.cli import app
from tests.type_checkers import ROOT

NAME = "metricreg-acme"


def make(folder: Path, *kinds: str) -> Path:
    """The project of a new plugin with a component of each of these kinds."""
    done = CliRunner().invoke(app, ["new-plugin", NAME, "--with", ",".join(kinds), "--directory", str(folder)])
    assert done.exit_code == 0, done.output
    return folder / NAME


def install(project: Path, site: Path) -> None:
    """Install a project into a folder, from what is here: nothing is downloaded."""
    pytest.importorskip("hatchling")
    pytest.importorskip("metricreg.testing")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*command, "--target", str(site), str(project)], project)


def run_tests(project: Path, site: Path) -> str:
    """Run the tests of a project that is installed into a folder; what pytest says."""
    return run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], project, site)


def run(command: list[str], cwd: Path, *python_path: Path) -> str:
    """Run a command that has to succeed; what it printed."""
    paths = os.pathsep.join(map(str, [*python_path, ROOT]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOX_", "COV", "PYTEST"))}
    environment |= {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
