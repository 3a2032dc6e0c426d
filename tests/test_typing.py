"""The types that people's checkers see."""

from __future__ import annotations

from pathlib import Path

import pytest

import metricreg

ROOT = Path(__file__).parent.parent


def test_mypy_agrees_with_the_stated_uses() -> None:
    api = pytest.importorskip("mypy.api")
    config, cache = f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}"
    output, errors, _ = api.run([config, cache, str(ROOT / "tests" / "typing" / "api.py")])
    assert "checked 1 source file" in output or "no issues found" in output, output + errors
    assert [line for line in output.splitlines() if "api.py" in line] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(metricreg.__file__).parent / "py.typed").exists()
