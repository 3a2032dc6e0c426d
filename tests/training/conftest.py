"""Small data and experiment files for the training tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Blobs = Callable[..., tuple[np.ndarray, np.ndarray]]
WriteExperiment = Callable[..., Path]

SPEC = {"version": 1, "loss": {"name": "multi_similarity"}}


@pytest.fixture
def blobs() -> Blobs:
    """Rows around a centre for each class, `[classes * each, size]`, and their labels."""

    def make(classes: int = 4, each: int = 12, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(0)
        labels = np.repeat(np.arange(classes), each)
        centres = generator.normal(size=(classes, size)) * 2
        return centres[labels] + generator.normal(size=(len(labels), size)), labels

    return make


@pytest.fixture
def write_experiment(tmp_path: Path, blobs: Blobs) -> WriteExperiment:
    """Write an experiment on small blobs that takes a fraction of a second; sections are updated by the arguments."""

    def write(name: str = "tiny.json", **changes: Any) -> Path:
        features, labels = blobs()
        np.savez(tmp_path / "blobs.npz", features=features, labels=labels)
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
            document[key] = {**kept, **change} if isinstance(change, dict) else change
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return write
