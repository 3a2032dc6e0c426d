"""What is wrong with an experiment is found before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metricreg.errors import ExperimentError, SpecError
from metricreg.training.run import run
from tests.training.conftest import silent


def refused(path: Path, out: Path, **options: bool) -> str:
    with pytest.raises((ExperimentError, SpecError)) as caught:
        run(path, out, report=silent, **options)
    assert not out.exists()
    return str(caught.value)


def test_what_is_no_experiment_file_is_refused(tmp_path):
    (tmp_path / "e.ini").write_text("")
    for name, said in (("none.json", "no experiment file"), ("", "it is a folder"), ("e.ini", "extension '.ini'")):
        assert said in refused(tmp_path / name, tmp_path / "out")


def arcface(classes: int, size: int) -> dict[str, Any]:
    loss = {"name": "arcface", "num_classes": classes, "embedding_size": size}
    return {"pipeline": {"version": 1, "loss": loss}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainer": {"epochs": 0}}, ["/trainer/epochs"]),
        ({"data": {"name": "npz", "path": "gone.npz"}}, ["'gone.npz' is not there"]),
        ({"encoder": "conv"}, ["conv needs images"]),
        ({"sampler": {"m": 2, "batch_size": 32}}, ["lower batch_size to 8"]),
        (arcface(3, 4), ["cannot take a batch", "4 training classes", "encoder.embedding_size 4"]),
        (arcface(4, 7), ["cannot take a batch", "4 training classes", "encoder.embedding_size 4"]),
        ({"trainer": {"precision": "16-mixed"}}, ["'16-mixed' needs a GPU; on the CPU use 'bf16-mixed'"]),
    ],
)
def test_an_experiment_that_cannot_run_is_refused(write_experiment, tmp_path, changes, said):
    message = refused(write_experiment(**changes), tmp_path / "out")
    for part in said:
        assert part in message


def test_gpu_where_there_is_none(write_experiment, tmp_path):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("has a GPU")
    message = refused(write_experiment(trainer={"accelerator": "gpu"}), tmp_path / "out")
    assert "accelerator 'gpu'" in message


@pytest.mark.parametrize(
    ("options", "said"), [({"resume": True}, "no checkpoint"), ({"resume": True, "overwrite": True}, "one of the two")]
)
def test_options_that_do_not_fit_are_refused(write_experiment, tmp_path, options, said):
    assert said in refused(write_experiment(), tmp_path / "out", **options)
