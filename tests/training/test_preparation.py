from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import metricreg.pipeline
from metricreg.errors import ExperimentError, InputError, Problem, SpecError
from metricreg.training.experiment import Experiment
from metricreg.training.preparation import prepare

EXPERIMENT = {"pipeline": {"version": 1, "loss": {"name": "multi_similarity"}}}


class Objective(nn.Module):
    """An objective that counts its calls and answers as it is told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.register_buffer("calls", torch.zeros(1))

    def to_spec(self, defaults=False):
        return {"version": 1}

    def forward(self, embeddings, labels):
        self.calls += 1
        return self.answer(embeddings, labels)


def prepared(monkeypatch, answer):
    monkeypatch.setattr(metricreg.pipeline, "build", lambda spec: Objective(answer))
    return prepare(Experiment.parse(EXPERIMENT), Path())


def fail(error):
    def answer(embeddings, labels):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fail(IndexError("index 9")), r"embeddings \[32, 64\], labels 0 to 9\): IndexError: index 9\. If it has"),
        (
            fail(InputError("too wide")),
            r"\): too wide\. If it has num_classes, compare it with the 10 training classes",
        ),
        (lambda e, y: e.sum(1), r"gives \[32\] for a batch, not a single number; choose another reducer"),
        (lambda e, y: {"loss": e}, "gives dict for a batch"),
        (lambda e, y: torch.tensor(1.0), "does not depend on the embeddings"),
        (lambda e, y: e.sum() * float("nan"), "loss of the first batch is nan"),
    ],
)
def test_a_pipeline_that_cannot_take_the_batch_is_found_before_training(monkeypatch, answer, said):
    with pytest.raises(ExperimentError, match=said):
        prepared(monkeypatch, answer)


def test_the_trial_batch_holds_the_highest_labels_and_leaves_the_objective_as_it_was(monkeypatch):
    seen = []
    ready = prepared(monkeypatch, lambda e, y: seen.append(y) or e.sum())
    assert seen[0].max() == 9
    assert ready.pipeline.calls == 0
    assert all(parameter.grad is None for parameter in ready.encoder.parameters())


def test_problems_found_while_building_point_into_the_experiment(monkeypatch):
    def build(spec):
        raise SpecError([Problem("/loss/miner", "does not fit")])

    monkeypatch.setattr(metricreg.pipeline, "build", build)
    with pytest.raises(SpecError) as caught:
        prepare(Experiment.parse(EXPERIMENT), Path())
    assert [problem.pointer for problem in caught.value.problems] == ["/pipeline/loss/miner"]


def test_labels_are_numbered_over_the_training_classes():
    experiment = Experiment.parse(
        {**EXPERIMENT, "data": {"name": "digits", "split": {"by": "class"}}, "sampler": {"m": 8, "batch_size": 40}}
    )
    ready = prepare(experiment, Path())
    assert ready.train_labels.unique().tolist() == [0, 1, 2, 3, 4]
    assert len(ready.train_classes) == 5
    assert not set(ready.train_classes) & set(ready.test_labels.tolist())


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError("728 TiB")])
def test_data_that_cannot_be_looked_at_or_held_is_an_error_in_words(monkeypatch, error):
    from metricreg.training.sources import DigitsSource

    monkeypatch.setattr(DigitsSource, "load", fail(error))
    with pytest.raises(ExperimentError, match=r"data: it cannot be read: .*(Permission denied|728 TiB)"):
        prepare(Experiment.parse(EXPERIMENT), Path())


def test_weights_are_a_function_of_the_seed():
    weights = [next(prepare(Experiment.parse(EXPERIMENT), Path()).encoder.parameters()) for _ in range(2)]
    assert torch.equal(*weights)
