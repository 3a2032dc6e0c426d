"""The blocks of the README and of the page in the documentation do what stands beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

import metricreg

HERE = Path(__file__).parents[1]
PAGE = HERE.parents[1] / "docs" / "sentence-transformers.md"


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(code: str, namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[float]:
    """Run a block; the numbers that it prints."""
    capsys.readouterr()
    exec(compile(code, "block", "exec"), namespace)
    printed = capsys.readouterr().out
    return [float(number) for number in re.findall(r"(?:before|after): ([\d.]+)", printed)]


@pytest.fixture(autouse=True)
def _elsewhere(shipped: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # `shipped` skips the test where there is no encoder
    (tmp_path / "loss.json").write_text('{"loss": {"name": "ntxent", "temperature": 0.05}}', encoding="utf-8")


@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
def test_the_readmes_example_improves_retrieval_as_it_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first, second = python_blocks(HERE / "README.md")
    said = re.findall(r"^(?:before|after): ([\d.]+)$", (HERE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    namespace: dict[str, Any] = {}
    before, after = run(first, namespace, capsys)
    torch.testing.assert_close([before, after], [float(number) for number in said], rtol=0, atol=0.06)
    assert after > before + 0.3
    assert "supcon" in (tmp_path / "intents" / "README.md").read_text(encoding="utf-8")
    run(second, namespace, capsys)
    assert namespace["trainer"].train().training_loss > 0


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")
@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
def test_the_page_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    for block in python_blocks(PAGE):
        run(block, namespace, capsys)
    assert isinstance(namespace["loss"].pipeline, metricreg.Pipeline)
    assert namespace["done"].training_loss > 0
