"""The scripts of the documentation, run by two processes and by one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.documentation import ROOT, blocks_of

SCRIPTS = {
    block.title: block.text
    for block in blocks_of((ROOT / "docs" / "distributed.md").read_text(encoding="utf-8"))
    if block.title.endswith(".py")
}


def weights(script: Path, ranks: int) -> Any:
    launch = [sys.executable, "-W", "error::UserWarning:metricreg", "-m", "torch.distributed.run", "--standalone"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "--nproc-per-node", str(ranks), script.name],
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "PerRankWarning" not in done.stderr
    (saved,) = script.parent.glob("*.pt")
    found = torch.load(saved, weights_only=True)
    saved.unlink()
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_two_processes_write_the_weights_that_one_writes(name: str, tmp_path: Path) -> None:
    assert SCRIPTS[name].count("\n") <= 35
    script = tmp_path / name
    script.write_text(SCRIPTS[name], encoding="utf-8")
    want = weights(script, 1)
    torch.testing.assert_close(weights(script, 2), want, rtol=1e-5, atol=1e-6)


def test_the_page_has_a_script_with_a_memory_and_one_with_class_vectors() -> None:
    assert len(SCRIPTS) == 2
    assert "cross_batch_memory" in SCRIPTS["train_memory.py"]
    assert "arcface" in SCRIPTS["train_classes.py"]
