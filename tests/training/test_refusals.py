"""What is wrong with an experiment is found before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from metricreg.errors import ExperimentError, SpecError
from metricreg.training.run import run


def silent(line: str) -> None:
    pass


def refused(path: Path, out: Path, **options: bool) -> str:
    with pytest.raises((ExperimentError, SpecError)) as caught:
        run(path, out, report=silent, **options)
    assert not out.exists()
    return str(caught.value)


def test_missing_experiment_file(tmp_path):
    assert "no experiment file" in refused(tmp_path / "none.json", tmp_path / "out")


def test_folder_as_experiment_file(tmp_path):
    assert "it is a folder" in refused(tmp_path, tmp_path / "out")


def test_experiment_file_of_unknown_extension(tmp_path):
    (tmp_path / "e.ini").write_text("")
    assert "extension '.ini'" in refused(tmp_path / "e.ini", tmp_path / "out")


def test_wrong_experiment(write_experiment, tmp_path):
    assert "/trainer/epochs" in refused(write_experiment(trainer={"epochs": 0}), tmp_path / "out")


def test_missing_data(write_experiment, tmp_path):
    path = write_experiment(data={"name": "npz", "path": "gone.npz"})
    assert "'gone.npz' is not there" in refused(path, tmp_path / "out")


def test_conv_on_flat_rows(write_experiment, tmp_path):
    path = write_experiment()
    document = json.loads(path.read_text()) | {"encoder": {"name": "conv"}}
    path.write_text(json.dumps(document))
    assert "conv needs images" in refused(path, tmp_path / "out")


def test_more_classes_a_batch_than_there_are(write_experiment, tmp_path):
    path = write_experiment(sampler={"m": 2, "batch_size": 32})
    assert "lower batch_size to 8" in refused(path, tmp_path / "out")


@pytest.mark.parametrize(("classes", "size"), [(3, 4), (4, 7)])
def test_loss_that_does_not_fit_classes_or_embeddings(write_experiment, tmp_path, classes, size):
    loss = {"name": "arcface", "num_classes": classes, "embedding_size": size}
    message = refused(write_experiment(pipeline={"version": 1, "loss": loss}), tmp_path / "out")
    assert "cannot take a batch" in message
    assert "4 training classes" in message
    assert "encoder.embedding_size 4" in message


def test_gpu_where_there_is_none(write_experiment, tmp_path):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("has a GPU")
    message = refused(write_experiment(trainer={"accelerator": "gpu"}), tmp_path / "out")
    assert "accelerator 'gpu'" in message


def test_half_precision_without_a_gpu(write_experiment, tmp_path):
    path = write_experiment(trainer={"precision": "16-mixed", "accelerator": "cpu"})
    assert "'16-mixed' needs a GPU; on the CPU use 'bf16-mixed'" in refused(path, tmp_path / "out")


def test_resume_without_checkpoint(write_experiment, tmp_path):
    assert "no checkpoint" in refused(write_experiment(), tmp_path / "out", resume=True)


def test_resume_and_overwrite_at_once(write_experiment, tmp_path):
    message = refused(write_experiment(), tmp_path / "out", resume=True, overwrite=True)
    assert "one of the two" in message
