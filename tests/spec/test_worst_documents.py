"""No document takes long or much memory: the worst ones known, each measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.worst_documents import DOCUMENTS, MIB, SECONDS, TEXTS

SLOW_MACHINE = 4.0
"""By how much a machine that runs other tests meanwhile may be slower."""


@pytest.mark.without_broken_plugins
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_none_takes_a_second_or_a_hundred_mebibytes() -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "tests.spec.worst_documents"],
        cwd=root, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {case: (seconds, mib, said) for case, seconds, mib, said in map(json.loads, run.stdout.splitlines())}
    assert found.keys() == DOCUMENTS.keys() | TEXTS.keys()
    assert {case: each for case, each in found.items() if "RAISED" in each[2]} == {}
    assert {case: each for case, each in found.items() if each[0] > SLOW_MACHINE * SECONDS or each[1] > MIB} == {}
    assert sum(said == "no problems" for _, _, said in found.values()) > 10  # what is accepted is measured too
