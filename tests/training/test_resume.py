from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import torch

from metricreg.errors import ExperimentError
from metricreg.training.run import run
from tests.training.conftest import silent

pytestmark = pytest.mark.usefixtures("without_figures")


def test_a_run_killed_in_mid_training_resumes_to_the_end_of_an_uninterrupted_one(process, tmp_path):
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (process.killed / "metrics.json").exists()
    shutil.copytree(process.killed, tmp_path / "killed")

    path = process.experiment
    whole = run(path, tmp_path / "whole", report=silent)
    resumed = run(path, tmp_path / "killed", resume=True, report=silent)
    assert resumed["training"]["resumed_after"] == 3
    assert resumed["training"]["epochs"] == 7
    assert resumed["training"]["loss"] == pytest.approx(whole["training"]["loss"], rel=1e-5)
    for measure in ("precision_at_1", "r_precision", "map_at_r"):
        assert resumed["after"][measure] == pytest.approx(whole["after"][measure], rel=1e-5)
    states = [torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("killed", "whole")]
    for name, weight in states[0]["state_dict"].items():
        torch.testing.assert_close(weight, states[1]["state_dict"][name], msg=name)


def test_a_finished_run_can_be_resumed_for_more_epochs(write_experiment, tmp_path):
    whole = run(write_experiment(trainer={"epochs": 5}), tmp_path / "whole", report=silent)
    run(write_experiment(trainer={"epochs": 2}), tmp_path / "out", report=silent)
    lines: list[str] = []
    more = run(write_experiment(trainer={"epochs": 5}), tmp_path / "out", resume=True, report=lines.append)
    assert more["training"]["loss"] == whole["training"]["loss"]
    assert "resumed after epoch 2" in lines


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": {"lr": 0.02}}, "/optimizer/lr changed"),
        ({"encoder": {"hidden": [8]}}, "/encoder/hidden changed"),
        ({"trainer": {"epochs": 2}}, "3 epochs behind it, trainer.epochs is only 2"),
    ],
)
def test_checkpoint_of_another_experiment_is_refused(write_experiment, tmp_path, changes, said):
    run(write_experiment(), tmp_path / "out", report=silent)
    before = (tmp_path / "out" / "experiment.json").read_text()
    with pytest.raises(ExperimentError, match=said):
        run(write_experiment(**changes), tmp_path / "out", resume=True, report=silent)
    assert (tmp_path / "out" / "experiment.json").read_text() == before


def test_checkpoint_of_other_data_is_refused_wherever_it_lies(write_experiment, tmp_path, blobs):
    import numpy as np

    path = write_experiment()
    run(path, tmp_path / "out", report=silent)
    features, labels = blobs()
    np.savez(tmp_path / "blobs.npz", features=features + 1, labels=labels)
    with pytest.raises(ExperimentError, match="/data/content changed"):
        run(path, tmp_path / "out", resume=True, report=silent)
    np.savez(tmp_path / "moved.npz", features=features, labels=labels)
    document = json.loads(path.read_text())
    document["data"]["path"] = "moved.npz"
    path.write_text(json.dumps(document))
    run(path, tmp_path / "out", resume=True, report=silent)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 damaged"])
def test_damaged_checkpoint_is_refused(write_experiment, tmp_path, content):
    path = write_experiment()
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "checkpoints" / "last.ckpt").write_bytes(content)
    with pytest.raises(ExperimentError, match="damaged"):
        run(path, tmp_path / "out", resume=True, report=silent)


def test_checkpoint_with_code_in_it_is_refused_and_not_run(write_experiment, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    torch.save({"epoch": Harmful()}, tmp_path / "out" / "checkpoints" / "last.ckpt")
    with pytest.raises(ExperimentError, match="not one that metricreg wrote"):
        run(write_experiment(), tmp_path / "out", resume=True, report=silent)
    assert not (tmp_path / "harm").exists()


def test_loss_that_becomes_infinite_stops_naming_the_step_and_keeps_the_last_epoch(
    write_experiment, tmp_path, monkeypatch
):
    import metricreg.pipeline

    build = metricreg.pipeline.build

    def exploding(spec):
        pipeline = build(spec)
        forward, calls = pipeline.forward, iter(range(100))
        pipeline.forward = lambda *args: forward(*args) * (float("nan") if next(calls) == 5 else 1.0)
        return pipeline

    path = write_experiment()
    run(path, tmp_path / "whole", report=silent)
    monkeypatch.setattr(metricreg.pipeline, "build", exploding)
    monkeypatch.setattr("metricreg.training.preparation._try_one_batch", silent)
    with pytest.raises(ExperimentError, match=r"became nan at step 6 \(epoch 2, batch 3\); lower optimizer.lr"):
        run(path, tmp_path / "out", report=silent)
    assert not (tmp_path / "out" / "metrics.json").exists()
    monkeypatch.undo()
    resumed = run(path, tmp_path / "out", resume=True, report=silent)
    assert resumed["training"]["resumed_after"] == 1


def test_ctrl_c_says_how_to_continue_and_leaves_its_handler_alone(write_experiment, tmp_path):
    def report(line):
        if line.startswith("epoch 2/"):
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(ExperimentError, match="interrupted after 1 epochs; --resume continues"):
        run(write_experiment(), tmp_path / "out", report=report)
    assert signal.getsignal(signal.SIGINT) is handler
    assert run(write_experiment(), tmp_path / "out", resume=True, report=silent)["training"]["resumed_after"] == 1
