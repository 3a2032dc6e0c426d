from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import metricreg
from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.run import run
from metricreg.training.weights import load_encoder
from tests.components.renamed import registry
from tests.training.conftest import silent

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.json"
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.usefixtures("without_figures")


def test_digits_example_reaches_ninety_percent_and_leaves_every_file(tmp_path, monkeypatch):
    monkeypatch.undo()  # with figures
    monkeypatch.setattr("metricreg.training.figures.SHOWN", 100)  # the layout of 901 rows would take most of the time
    document = json.loads(EXAMPLE.read_text())
    document["trainer"]["epochs"] = 6  # a third of what the example takes
    (tmp_path / "digits.json").write_text(json.dumps(document))
    metrics = run(tmp_path / "digits.json", tmp_path / "out", report=silent)
    assert 0.50 < metrics["before"]["map_at_r"] < 0.56
    assert metrics["after"]["map_at_r"] >= 0.90
    assert metrics["seconds"] < 60
    assert metrics["training"]["loss"][-1] < metrics["training"]["loss"][0]
    out = tmp_path / "out"
    left = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert left == {
        *("spec.json", "experiment.json", "labels.json", "metrics.json", "encoder.safetensors"),
        *("loss.png", "embedding.png", "checkpoints/last.ckpt"),
    }
    assert json.loads((out / "metrics.json").read_text()) == metrics
    for name in ("loss.png", "embedding.png"):
        assert (out / name).read_bytes().startswith(PNG)
        assert (out / name).stat().st_size > 5000


def test_resolved_experiment_runs_again_from_another_folder_with_the_same_result(write_experiment, tmp_path):
    first = run(write_experiment(), tmp_path / "a", report=silent)
    second = run(tmp_path / "a" / "experiment.json", tmp_path / "b", report=silent)
    assert second["after"] == first["after"]
    assert second["training"]["loss"] == first["training"]["loss"]
    assert (tmp_path / "a" / "experiment.json").read_text() == (tmp_path / "b" / "experiment.json").read_text()


def test_resolved_experiment_and_spec_show_every_default(write_experiment, tmp_path):
    run(write_experiment(), tmp_path / "out", report=silent)
    experiment = json.loads((tmp_path / "out" / "experiment.json").read_text())
    assert experiment["optimizer"]["schedule"] == "none"
    assert experiment["data"]["split"] == {"by": "sample", "test_fraction": 0.5, "seed": 0}
    assert experiment["pipeline"] == json.loads((tmp_path / "out" / "spec.json").read_text())
    assert experiment["pipeline"]["loss"]["name"] == "multi_similarity"


def test_output_defaults_to_runs_and_the_name_of_the_file(write_experiment, tmp_path, monkeypatch):
    path = write_experiment("mine.json")
    monkeypatch.chdir(tmp_path)
    run(path, report=silent)
    assert (tmp_path / "runs" / "mine" / "metrics.json").is_file()


def test_split_by_class_trains_on_some_classes_and_measures_on_others(write_experiment, tmp_path):
    data = {"name": "npz", "path": "blobs.npz", "split": {"by": "class"}}
    path = write_experiment(data=data, sampler={"m": 4, "batch_size": 8})
    metrics = run(path, tmp_path / "out", report=silent)
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert metrics["data"]["training_classes"] == len(labels["training_classes"]) == 2
    assert metrics["data"]["classes"] == 4
    assert metrics["after"]["queries"] == 24


def test_standardized_table_trains_from_toml_and_its_encoder_takes_rows_as_they_were_read(tmp_path, blobs):
    import pandas as pd

    features, labels = blobs()
    table = pd.DataFrame(features * [1, 1e4, 1, 1, 1e-4, 1] + 7, columns=list("abcdef"))
    table.assign(kind=[f"k{label}" for label in labels]).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "e.toml").write_text(
        """
        [pipeline]
        version = 1
        loss = {name = "contrastive"}
        [data]
        name = "table"
        path = "t.csv"
        label = "kind"
        [sampler]
        batch_size = 16
        [trainer]
        epochs = 2
        accelerator = "cpu"
        """
    )
    metrics = run(tmp_path / "e.toml", tmp_path / "out", report=silent)
    assert metrics["before"]["rows"] == "standardized features"
    assert metrics["data"]["features"] == list("abcdef")
    encoder = load_encoder(tmp_path / "out" / "encoder.safetensors")
    scaled = encoder.scale(torch.tensor(table.to_numpy(np.float32)))
    assert scaled.std(0).sub(1).abs().max() < 0.4


@pytest.mark.parametrize("name", ["linear", "mlp", "conv"])
def test_each_encoder_trains_on_images(write_experiment, tmp_path, name):
    generator = np.random.default_rng(0)
    labels = np.repeat([3, -7, 2**40], 16)
    features = generator.random((48, 5, 7)) + (labels == 3)[:, None, None]
    path = write_experiment(encoder={"name": name}, sampler={"m": 2, "batch_size": 6})
    document = json.loads(path.read_text())
    document["encoder"] = {"name": name, "embedding_size": 5}
    path.write_text(json.dumps(document))
    np.savez(tmp_path / "blobs.npz", embeddings=features, labels=labels)
    run(path, tmp_path / "out", report=silent)
    assert json.loads((tmp_path / "out" / "labels.json").read_text())["classes"] == [-7, 3, 2**40]
    encoder = load_encoder(tmp_path / "out" / "encoder.safetensors")
    assert encoder(torch.zeros(2, 1, 5, 7)).shape == (2, 5)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_train(write_experiment, tmp_path, precision):
    path = write_experiment(trainer={"precision": precision, "gradient_clip": 1.0})
    assert run(path, tmp_path / "out", report=silent)["after"]["map_at_r"] > 0.3
    load_encoder(tmp_path / "out" / "encoder.safetensors")


def test_rows_alone_in_their_class_are_reported_as_skipped(write_experiment, tmp_path, blobs):
    path = write_experiment(sampler={"m": 2, "batch_size": 8})
    features, labels = blobs()
    np.savez(tmp_path / "blobs.npz", features=np.vstack([features, features[:2]]), labels=[*labels, 9, 9])
    lines: list[str] = []
    metrics = run(path, tmp_path / "out", report=lines.append)
    assert metrics["after"]["skipped"] == 1
    assert any("alone in their class" in line for line in lines)


def test_run_leaves_the_random_state_of_the_caller_alone(write_experiment, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run(write_experiment(), tmp_path / "out", report=silent)
    assert torch.equal(torch.rand(1), expected)


def test_piped_output_is_a_few_plain_lines_and_nothing_of_lightning(process):
    assert process.stderr == ""
    assert "\x1b" not in process.stdout
    assert "\r" not in process.stdout
    assert sum(line.startswith("epoch") for line in process.stdout.splitlines()) == 10
    assert "MAP@R" in process.stdout
    assert "raw features" in process.stdout
    assert len(process.stdout.splitlines()) < 30


def test_full_output_folder_is_refused_and_left_alone(write_experiment, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    with pytest.raises(ExperimentError, match=r"not empty; --resume .* --overwrite"):
        run(write_experiment(), out, report=silent)
    assert [path.name for path in out.iterdir()] == ["precious.txt"]


def test_overwrite_replaces_results_and_leaves_other_files(write_experiment, tmp_path):
    out = tmp_path / "out"
    run(write_experiment(), out, report=silent)
    (out / "precious.txt").write_text("mine")
    (out / "objective.safetensors").write_text("of an earlier run")
    run(write_experiment(), out, overwrite=True, report=silent)
    assert (out / "precious.txt").read_text() == "mine"
    assert (out / "metrics.json").is_file()
    assert not (out / "objective.safetensors").exists()


def test_weights_give_the_figures_of_the_metrics_file_again(write_experiment, tmp_path, blobs):
    from metricreg.training.experiment import Experiment
    from metricreg.training.retrieval import retrieval_metrics

    path = write_experiment()
    metrics = run(path, tmp_path / "out", report=silent)
    features, labels = blobs()
    dataset = Dataset.of(features, labels, "blobs")
    _, held_out = Experiment.parse(json.loads(path.read_text())).data.split.divide(dataset)
    with torch.no_grad():
        rows = load_encoder(tmp_path / "out" / "encoder.safetensors")(torch.from_numpy(dataset.features[held_out]))
    again = retrieval_metrics(rows, torch.from_numpy(labels[held_out]), cosine=True)
    assert metrics["after"] == {"rows": "embeddings", "distance": "cosine", **vars(again)}


@pytest.mark.parametrize("name", ["experiment.json", "spec.json", "labels.json"])
def test_overwrite_refuses_files_of_the_same_name_that_no_run_left(write_experiment, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"mine": 1}')
    with pytest.raises(ExperimentError, match=rf"has {name}, but not from a run"):
        run(write_experiment(), out, overwrite=True, report=silent)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, '{"mine": 1}')]


def test_a_second_run_keeps_out_of_the_folder_of_the_first(write_experiment, tmp_path):
    out, path = tmp_path / "out", write_experiment()
    said = []

    def report(line):
        if line.startswith("epoch 2/"):
            with pytest.raises(ExperimentError, match="another run is writing to") as caught:
                run(path, out, overwrite=True, report=silent)
            said.append(caught.value)

    metrics = run(path, out, report=report)
    assert len(said) == 1
    assert json.loads((out / "metrics.json").read_text()) == metrics
    run(path, out, overwrite=True, report=silent)


def test_file_in_place_of_the_output_folder_is_refused(write_experiment, tmp_path):
    with pytest.raises(ExperimentError, match="is a file"):
        run(write_experiment(), write_experiment("other.json"), report=silent)


def test_missing_extra_says_what_to_install(write_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("metricreg.training.extras.find_spec", lambda name: None if name == "lightning" else object())
    with pytest.raises(ExperimentError, match=r"\(lightning\): pip install \"metricreg\[train\]\""):
        run(write_experiment(), tmp_path / "out", report=silent)


def test_importing_the_package_and_the_experiment_needs_no_torch():
    code = (
        "import sys, metricreg.training.run, metricreg.training.extras, metricreg.training.output;"
        "assert not {'torch', 'lightning', 'matplotlib', 'sklearn', 'pandas'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_versions_of_the_plugins_that_take_part_are_in_metrics_and_checkpoint(
    write_experiment, tmp_path, monkeypatch
):
    monkeypatch.setattr("metricreg.registry.registry._default", registry())
    monkeypatch.setattr("metricreg.spec.lock.version", lambda name: {"acme-losses": "1.3.2"}.get(name) or version(name))
    spec = {"loss": {"name": "contrastive", "reducer": {"name": "acme/new", "cap": 2}}}
    experiment = write_experiment(pipeline=spec, trainer={"epochs": 1})
    found = run(experiment, tmp_path / "out", report=silent)
    assert found["versions"] == {
        "metricreg": version("metricreg"),
        "acme-losses": "1.3.2",
        "torch": version("torch"),
        "lightning": version("lightning"),
    }
    checkpoint = torch.load(tmp_path / "out" / "checkpoints/last.ckpt", weights_only=True)
    assert json.loads(checkpoint["metricreg_versions"]) == found["versions"]

    monkeypatch.setattr("metricreg.spec.lock.version", lambda name: {"acme-losses": "1.4"}.get(name) or version(name))
    lines: list[str] = []
    more = run(
        write_experiment(pipeline=spec, trainer={"epochs": 2}), tmp_path / "out", resume=True, report=lines.append
    )
    assert "the checkpoint is of acme-losses 1.3.2, and 1.4 is installed" in lines
    assert more["versions"]["acme-losses"] == "1.4"


def test_a_run_resumes_where_a_plugin_has_renamed_a_parameter_since(write_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("metricreg.registry.registry._default", registry())
    spec = {"loss": {"name": "contrastive", "reducer": {"name": "acme/old", "limit": 2}}}
    with pytest.warns(metricreg.RenamedWarning) as warned:
        run(write_experiment(pipeline=spec, trainer={"epochs": 1}), tmp_path / "out", report=silent)
    assert [str(w.message).partition(":")[0] for w in warned] == [
        "/pipeline/loss/reducer/name",
        "/pipeline/loss/reducer/limit",
    ]
    path = tmp_path / "out" / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    saved = json.loads(checkpoint["metricreg_experiment"])
    reducer = saved["pipeline"]["loss"]["reducer"]
    assert reducer == {"name": "acme/new", "cap": 2.0, "inner": None}
    saved["pipeline"]["loss"]["reducer"] = {"name": "acme/old", "limit": 2.0, "old_inner": None}  # as it was before
    torch.save(checkpoint | {"metricreg_experiment": json.dumps(saved)}, path)
    spec["loss"]["reducer"] = {"name": "acme/new", "cap": 2}
    more = run(write_experiment(pipeline=spec, trainer={"epochs": 2}), tmp_path / "out", resume=True, report=silent)
    assert more["training"]["resumed_after"] == 1
