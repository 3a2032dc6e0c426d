"""What the field calls otherwise: the error says what it is called here."""

from __future__ import annotations

import inspect

import pytest

import metricreg
from metricreg import default_registry
from metricreg.registry import Entry, Registry
from metricreg.registry.other_names import OTHER_NAMES, PARAMETERS, instead, name_here


@pytest.mark.parametrize(
    ("kind", "name", "here"),
    [
        ("loss", "infonce", "'ntxent'"),
        ("loss", "InfoNCE", "'ntxent'"),
        ("loss", "NT-Xent", "'ntxent'"),
        ("loss", "NTXentLoss", "'ntxent'"),
        ("loss", "MNRL", "'ntxent'"),
        ("loss", "multiple_negatives_ranking_loss", "'ntxent'"),
        ("loss", "SINCERE", "'ntxent'"),
        ("loss", "CLIP", "'ntxent'"),
        ("loss", "N-pair", "'npairs'"),
        ("loss", "am-softmax", "'cosface'"),
        ("distance", "euclidean", "'lp'"),
        ("distance", "l2", "'lp'"),
        ("distance", "city block", """{"name": "lp", "p": 1}"""),
        ("distance", "CosineSimilarity", "'cosine'"),
        ("loss", "ArcMargin", "'arcface'"),
        ("loss", "additive_margin_softmax", "'cosface'"),
        ("loss", "MNR", "'ntxent'"),
        ("loss", "proxynca++", "'proxy_nca'"),
        ("distance", "cosine_distance", "'cosine'"),
        ("distance", "squared_euclidean", """{"name": "lp", "power": 2}"""),
    ],
)
def test_the_error_says_what_it_is_called_here(kind: str, name: str, here: str) -> None:
    spec = {"loss": name} if kind == "loss" else {"loss": {"name": "contrastive", "distance": name}}
    (problem,) = metricreg.validate(spec)
    assert problem.message == f"unknown {kind} '{name}'; what is called so is {here} here"


def said(kind: str, name: str) -> str:
    with pytest.raises(metricreg.SpecError) as caught:
        default_registry().get(kind, name)
    return str(caught.value)


@pytest.mark.parametrize("entry", list(default_registry()), ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_a_name_is_known_however_it_is_written_and_by_its_class(entry: Entry) -> None:
    name, cls = entry.name, entry.path.rpartition(":")[2]
    written = {cls, name.upper(), name.title(), name.replace("_", "-"), name.replace("_", ""), f"{name}_{entry.kind}"}
    for other in written - set(default_registry().names(entry.kind)):
        assert f"what is called so is '{name}' here" in said(entry.kind, other)


def test_a_namespace_is_known_however_it_is_written() -> None:
    registry = Registry()
    registry.add(Entry("loss", "acme/my_loss", "acme.my_loss:MyLoss", "acme"))
    for other in ("Acme/MyLoss", "ACME/MY_LOSS"):
        with pytest.raises(metricreg.SpecError, match="what is called so is 'acme/my_loss' here"):
            registry.get("loss", other)


def test_a_class_of_another_kind_is_said_to_be_one() -> None:
    assert "what is called so is the distance 'lp' here, no loss" in said("loss", "LpDistance")
    assert "what is called so is the miner 'multi_similarity' here" in said("loss", "MultiSimilarityMiner")


@pytest.mark.parametrize("family", ["losses", "miners", "distances", "reducers", "regularizers"])
def test_every_class_of_pytorch_metric_learning_is_answered(family: str) -> None:
    theirs = pytest.importorskip(f"pytorch_metric_learning.{family}")
    kind = family.removesuffix("es") if family == "losses" else family.removesuffix("s")
    classes = [name for name, cls in vars(theirs).items() if inspect.isclass(cls)]
    assert len(classes) > 4
    for name in classes:
        assert instead(kind, name) or "what is called so is" in said(kind, name)


def test_all_that_is_meant_is_there() -> None:
    for kind, names in OTHER_NAMES.items():
        assert set(names.values()) <= set(default_registry().names(kind))
        for other in names.keys() & PARAMETERS.keys():
            metricreg.create(kind, names[other], **PARAMETERS[other])


def test_no_other_name_is_a_name_itself() -> None:
    for kind, names in OTHER_NAMES.items():
        assert not {other.replace(" ", "_") for other in names} & set(default_registry().names(kind))


def test_nothing_is_suggested_that_is_not_there() -> None:
    assert name_here("loss", "infonce", {"contrastive": "ContrastiveLoss"}) is None
