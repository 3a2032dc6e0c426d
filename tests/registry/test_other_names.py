"""What the field calls otherwise: the error says what it is called here."""

from __future__ import annotations

import pytest

import metricreg
from metricreg import default_registry
from metricreg.registry.other_names import OTHER_NAMES, PARAMETERS, name_here


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
    ],
)
def test_the_error_says_what_it_is_called_here(kind: str, name: str, here: str) -> None:
    spec = {"loss": name} if kind == "loss" else {"loss": {"name": "contrastive", "distance": name}}
    (problem,) = metricreg.validate(spec)
    assert problem.message == f"unknown {kind} '{name}'; what is called so is {here} here"


def test_all_that_is_meant_is_there() -> None:
    for kind, names in OTHER_NAMES.items():
        assert set(names.values()) <= set(default_registry().names(kind))
    assert metricreg.create("distance", "lp", **PARAMETERS["city block"]).p == 1


def test_no_other_name_is_a_name_itself() -> None:
    for kind, names in OTHER_NAMES.items():
        assert not {other.replace(" ", "_") for other in names} & set(default_registry().names(kind))


def test_nothing_is_suggested_that_is_not_there() -> None:
    assert name_here("loss", "infonce", ("contrastive",)) is None
