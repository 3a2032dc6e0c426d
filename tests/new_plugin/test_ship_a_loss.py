"""The page "Ship a loss in ten minutes", followed as it is written."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.documentation import Block, blocks_of, is_shown
from tests.type_checkers import ROOT

PAGE = ROOT / "docs" / "ship-a-loss.md"
PROGRAMS = {"pip": "-m pip", "pytest": "-m pytest", "metricreg": "-c 'from metricreg.cli import run; run()'"}


class Author:
    """Somebody who types what the blocks of a page say, in an empty folder and a virtual environment of their own.

    What is to be downloaded is there already, in the environment of the tests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.last_folder = folder / "last-folder"
        self.folder.mkdir()
        environment = folder / "venv"
        venv.create(environment, symlinks=True)
        bin_folder = environment / ("Scripts" if os.name == "nt" else "bin")
        site = next(environment.rglob("site-packages"))
        (site / "there.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        for program, arguments in PROGRAMS.items():
            script = bin_folder / program
            script.write_text(f'#!/bin/sh\nexec "{bin_folder}/python" {arguments} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("TOX_", "COV", "PYTEST", "PYTHONPATH"))}
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONSTRAINT": ""}
        self.variables = variables | offline | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}

    def follow(self, block: Block) -> str:
        """Do what a block says; what was printed."""
        if block.title:
            (self.folder / block.title).write_text(block.text, encoding="utf-8")
            return ""
        script = block.text if block.language == "sh" else f"python - <<'END'\n{block.text}END\n"
        command = ["bash", "-ec", f"{script}pwd > '{self.last_folder}'"]
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"line {block.line}: {done.stdout}{done.stderr}"
        self.folder = Path(self.last_folder.read_text(encoding="utf-8").strip())
        return done.stdout


def test_the_page_followed_as_it_is_written_ends_with_a_loss_that_passes_the_kit(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    pytest.importorskip("editables")
    author, printed, shown = Author(tmp_path), "", 0
    for block in blocks_of(PAGE.read_text(encoding="utf-8")):
        if block.marker == "illustration" or block.marker.startswith("not run"):
            continue
        if block.language == "text":
            assert is_shown(block.text, printed), f"line {block.line}: this is printed instead:\n{printed}"
            shown += 1
            continue
        printed = author.follow(block)
    assert shown == 3
