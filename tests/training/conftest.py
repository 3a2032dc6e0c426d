"""Small data and experiment files for the training tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

Blobs = Callable[..., tuple[np.ndarray, np.ndarray]]
WriteExperiment = Callable[..., Path]

SPEC = {"version": 1, "loss": {"name": "multi_similarity"}}

# Everything that could make two runs differ: proxies, dropout, running statistics, momenta and a schedule.
FRAGILE = {
    "pipeline": {"version": 1, "loss": {"name": "arcface", "num_classes": 4, "embedding_size": 4}},
    "encoder": {"name": "mlp", "dropout": 0.3, "normalization": "batch"},
    "optimizer": {"schedule": "cosine"},
    "trainer": {"epochs": 7, "log_every": 1},
}

# The report of an epoch comes before its checkpoint, so the kill loses that epoch.
PIPED_THEN_KILLED = """
import os, pathlib, signal, sys
from metricreg.training.run import run

def report(line):
    if line.startswith("epoch 4/"):
        os.kill(os.getpid(), signal.SIGKILL)

piped, killed, folder = map(pathlib.Path, sys.argv[1:])
run(piped, folder / "piped")
run(killed, folder / "killed", report=report)
"""


class Process(NamedTuple):
    """A process that ran one experiment to its end and was killed in the middle of another."""

    returncode: int
    stdout: str
    stderr: str
    experiment: Path
    """What it was killed in."""
    killed: Path
    """The output folder of that."""


def silent(line: str) -> None:
    """Reports nothing."""


def make_blobs(classes: int = 4, each: int = 12, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    centres = generator.normal(size=(classes, size)) * 2
    return centres[labels] + generator.normal(size=(len(labels), size)), labels


def written(folder: Path, name: str, **changes: Any) -> Path:
    features, labels = make_blobs()
    np.savez(folder / "blobs.npz", features=features, labels=labels)
    document: dict[str, Any] = {
        "pipeline": SPEC,
        "data": {"name": "npz", "path": "blobs.npz"},
        "encoder": {"name": "mlp", "hidden": [16], "embedding_size": 4},
        "sampler": {"name": "m_per_class", "m": 2, "batch_size": 8},
        "optimizer": {"name": "adam", "lr": 0.01},
        "trainer": {"epochs": 3, "accelerator": "cpu"},
    }
    for key, change in changes.items():
        kept = document.get(key, {}) if key not in ("pipeline", "data") else {}
        document[key] = {"name": change} if isinstance(change, str) else {**kept, **change}
    path = folder / name
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def blobs() -> Blobs:
    """Rows around a centre for each class, `[classes * each, size]`, and their labels."""
    return make_blobs


@pytest.fixture
def write_experiment(tmp_path: Path) -> WriteExperiment:
    """Write an experiment on small blobs that takes a fraction of a second; arguments update sections, or name another."""

    def write(name: str = "tiny.json", **changes: Any) -> Path:
        return written(tmp_path, name, **changes)

    return write


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else in a small run; `test_figures.py` and one digits run see to it."""
    for name in ("loss_curve", "embedding_map"):
        monkeypatch.setattr(f"metricreg.training.results.{name}", lambda *args: b"\x89PNG")


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Process:
    """One process for all that needs one: starting it takes longer than what it does."""
    folder = tmp_path_factory.mktemp("process")
    piped = written(folder, "piped.json", trainer={"epochs": 40})
    killed = written(folder, "killed.json", **FRAGILE)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    # one thread, as in the tests: with another number sums are added up in another order
    environment |= {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", PIPED_THEN_KILLED, piped, killed, folder],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    return Process(done.returncode, done.stdout, done.stderr, killed, folder / "killed")
