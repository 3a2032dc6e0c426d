from __future__ import annotations

from typing import Any

import pytest

from metricreg.errors import SpecError
from metricreg.training.experiment import Experiment
from metricreg.training.optimizers import AdamOptimizer, SgdOptimizer

SPEC = {"version": 1, "loss": {"name": "multi_similarity"}}


def problems(document: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        Experiment.parse(document)
    for problem in caught.value.problems:
        assert resolves(document, problem.pointer), problem
    return {problem.pointer: problem.message for problem in caught.value.problems}


def resolves(document: Any, pointer: str) -> bool:
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, dict) or step not in document:
            return isinstance(document, list) and int(step) < len(document)
        document = document[step]
    return True


def test_only_the_pipeline_has_no_default():
    parsed = Experiment.parse({"pipeline": SPEC, "$schema": "x"})
    assert (parsed.data.name, parsed.encoder.name, parsed.sampler.name) == ("digits", "mlp", "m_per_class")
    assert problems({})[""] == "'pipeline' is required and missing"


@pytest.mark.parametrize(
    ("section", "content", "pointer", "said"),
    [
        ("optimiser", {}, "/optimiser", "did you mean 'optimizer'"),
        ("encoder", {"name": "mpl"}, "/encoder/name", "'linear', 'mlp', 'conv'; did you mean 'mlp'"),
        ("encoder", {"name": 5}, "/encoder/name", "must be one of"),
        ("encoder", {"hidden": [4]}, "/encoder", "'name' is required"),
        ("encoder", {"name": None}, "/encoder/name", "must be one of"),
        ("encoder", "mlp", "/encoder", "must be an object"),
        ("encoder", {"name": "mlp", "hiden": [4]}, "/encoder/hiden", "did you mean 'hidden'"),
        ("encoder", {"name": "mlp", "hidden": [4, 0]}, "/encoder/hidden/1", "greater than 0"),
        ("encoder", {"name": "mlp", "dropout": 1.0}, "/encoder/dropout", "less than 1"),
        ("encoder", {"name": "mlp", "embedding_size": True}, "/encoder/embedding_size", "valid integer"),
        ("data", {"name": "npz"}, "/data", "'path' is required and missing"),
        ("data", {"name": "digits", "a/b~c": 1}, "/data/a~1b~0c", "known: split, name"),
        ("data", {"name": "digits", "split": {"by": "clas"}}, "/data/split/by", "did you mean 'class'"),
        ("data", {"name": "digits", "split": {"test_fraction": 1.5}}, "/data/split/test_fraction", "less than 1"),
        ("data", {"name": "digits", "split": {"sed": 1}}, "/data/split/sed", "did you mean 'seed'"),
        ("data", {"name": "digits", "split": 3}, "/data/split", "must be an object"),
        ("sampler", {"m": 3, "batch_size": 8}, "/sampler", "not a multiple of m 3; 6 or 9"),
        ("sampler", {"name": "random"}, "/sampler/name", "must be one of 'm_per_class'"),
        ("sampler", {"m": "4"}, "/sampler/m", "valid integer"),
        ("optimizer", {"name": "adam", "momentum": 0.9}, "/optimizer/momentum", "unknown key 'momentum'"),
        ("optimizer", {"name": "adamw", "lr": True}, "/optimizer/lr", "valid number"),
        (
            "optimizer",
            {"name": "adam", "lr": "1e-3"},
            "/optimizer/lr",
            "this is text: leave the quotes out, and in YAML",
        ),
        ("data", {"name": "npz", "path": ""}, "/data/path", "must have at least 1 character"),
        ("sampler", {"m": 2, "batch_size": 10**9}, "/sampler/batch_size", "less than or equal to 1000000"),
        ("optimizer", {"name": "sgd", "lr": float("inf")}, "/optimizer/lr", "finite"),
        ("trainer", {"epochs": 1.5}, "/trainer/epochs", "valid integer"),
        ("trainer", {"precision": "32"}, "/trainer/precision", "'bf16-mixed'"),
        ("name", 3, "/name", "valid string"),
    ],
)
def test_each_mistake_is_located_and_explained(section, content, pointer, said):
    found = problems({"pipeline": SPEC, section: content})
    assert list(found) == [pointer]
    assert said in found[pointer]


@pytest.mark.parametrize(("name", "shown"), [(None, "null"), (["mlp"], '["mlp"]'), (5, "5")])
def test_a_name_of_another_type_is_shown_as_it_was_given(name, shown):
    with pytest.raises(SpecError) as caught:
        Experiment.parse({"pipeline": SPEC, "encoder": {"name": name}})
    (problem,) = caught.value.problems
    assert problem.given == shown
    assert "did you mean" not in problem.message


def test_problems_of_every_section_and_of_the_pipeline_are_listed_together():
    found = problems({"pipeline": {"version": 1}, "trainer": {"epochs": 0}, "encoder": {"name": "mlp", "x": 1}})
    assert {"/trainer/epochs", "/encoder/x"} < found.keys()
    assert any(pointer.startswith("/pipeline") for pointer in found)


def test_misspelt_loss_is_located_in_the_experiment():
    found = problems({"pipeline": {"version": 1, "loss": {"name": "multi_similarty"}}})
    assert len(found) == 1
    assert all(pointer.startswith("/pipeline/loss") for pointer in found)
    assert "did you mean 'multi_similarity'" in str(found)


@pytest.mark.parametrize("document", [[], None, "x", 3])
def test_a_document_that_is_no_object_is_refused(document):
    assert problems(document)[""] == "must be an object"


def test_whole_floats_are_integers():
    assert Experiment.parse({"pipeline": SPEC, "trainer": {"epochs": 4.0}}).trainer.epochs == 4


def test_resolved_paths_are_absolute(tmp_path):
    parsed = Experiment.parse({"pipeline": SPEC, "name": "n", "data": {"name": "npz", "path": "../x.npz"}})
    resolved = parsed.resolved({"version": 1}, tmp_path / "sub")
    assert resolved["data"]["path"] == str((tmp_path / "x.npz").resolve())
    assert resolved["name"] == "n"
    assert "$schema" not in resolved


@pytest.mark.parametrize(
    ("section", "kind"),
    [(AdamOptimizer(), "Adam"), (AdamOptimizer(name="adamw"), "AdamW"), (SgdOptimizer(momentum=0.5), "SGD")],
)
def test_optimizers_give_proxies_their_own_rate_and_no_decay(section, kind):
    from torch import nn

    section = section.model_copy(update={"objective_lr": 0.7, "weight_decay": 0.1})
    built = section.build(nn.Linear(2, 2), nn.Linear(2, 1))
    assert type(built).__name__ == kind
    assert [group["lr"] for group in built.param_groups] == [section.lr, 0.7]
    assert [group["weight_decay"] for group in built.param_groups] == [0.1, 0.0]
    assert len(section.build(nn.Linear(2, 2), nn.ReLU()).param_groups) == 1
