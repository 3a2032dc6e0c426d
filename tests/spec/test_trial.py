"""Specs that no batch satisfies are found by validating them, and no other is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import Batch, default_registry
from metricreg.spec import trial
from metricreg.spec.describe import describe

MEMORY = {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4, "memory_size": 32}
NEVER: dict[str, tuple[dict[str, Any], str, str]] = {
    "a miner beside a memory": ({"loss": MEMORY, "miner": "multi_similarity"}, "/miner", "takes no tuples"),
    "a miner beside two views of a loss": (
        {"loss": {"name": "self_supervised", "loss": "ntxent"}, "miner": "multi_similarity"},
        "/miner",
        "SelfSupervisedLoss compares two views, and takes no miner",
    ),
    "a miner beside two views of a memory": (
        {
            "loss": {
                "name": "self_supervised",
                "loss": {"name": "cross_batch_memory", "embedding_size": 4, "memory_size": 32, "loss": "fast_ap"},
            },
            "miner": "uniform_histogram",
        },
        "/miner",
        "takes no miner",
    ),
    "a miner beside vicreg": ({"loss": "vicreg", "miner": "multi_similarity"}, "/miner", "two views"),
    "a miner beside barlow_twins": ({"loss": "barlow_twins", "miner": "multi_similarity"}, "/miner", "two views"),
    "a divisor that is not there": (
        {"loss": {"name": "contrastive", "reducer": "divisor"}},
        "/loss/reducer",
        "divisor",
    ),
    "a reducer of another term": (
        {"loss": {"name": "contrastive", "reducer": {"name": "multiple", "reducers": {"posloss": "mean"}}}},
        "/loss/reducer",
        "posloss",
    ),
    "terms in a sum": (
        {"loss": {"name": "multiple", "losses": [{"name": "ntxent", "reducer": "do_nothing"}]}},
        "/loss/losses/0/reducer",
        "do_nothing",
    ),
    "a distance of another size": (
        {
            "loss": {
                "name": "proxy_nca",
                "num_classes": 3,
                "embedding_size": 4,
                "distance": {"name": "mahalanobis", "embedding_size": 3},
            }
        },
        "/loss/distance",
        "embedding_size",
    ),
    "a regularizer of another size": (
        {
            "loss": {
                "name": "soft_triple",
                "num_classes": 3,
                "embedding_size": 4,
                "centers_per_class": 2,
                "weight_regularizer": {"name": "sparse_centers", "num_classes": 4, "centers_per_class": 2},
            }
        },
        "/loss/weight_regularizer",
        "",
    ),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_no_batch_satisfies_is_a_problem_with_its_place(name: str) -> None:
    spec, where, what = NEVER[name]
    (problem,) = metricreg.validate(spec)
    assert problem.pointer == where
    assert problem.message.startswith("no batch satisfies this: ")
    assert what in problem.message


SATISFIED = [
    (kind, name)
    for kind in ("loss", "miner")
    for name in default_registry().names(kind)
    if name != "raises_in_terms/half"  # of the broken plugins, which may be installed
]


@pytest.mark.parametrize(("kind", "name"), SATISFIED)
def test_every_example_satisfies_some_batch(kind: str, name: str) -> None:
    example = describe(kind, name).example
    spec = {"loss": example} if kind == "loss" else {"loss": "triplet_margin", "miner": example}
    report = metricreg.validate(spec)
    assert not report, str(report)
    assert not report.unchecked, report.unchecked


@pytest.mark.parametrize("spec", [
    {"loss": MEMORY | {"memory_size": 1}},
    {"loss": MEMORY | {"label_size": 5, "loss": {"name": "contrastive", "match": "jaccard"}}},
    {"loss": {"name": "arcface", "num_classes": 1, "embedding_size": 700}},
    {"loss": {"name": "contrastive", "reducer": {"name": "class_weighted", "weights": [2.0]}}},
    {"loss": {"name": "multiple", "losses": ["vicreg", "barlow_twins"]}},
    {"loss": {"name": "arcface", "num_classes": 10**8, "embedding_size": 512}},
])  # fmt: skip
def test_what_only_some_batches_satisfy_is_none(spec: dict[str, Any]) -> None:
    assert not metricreg.validate(spec)


def test_a_trial_leaves_nothing_behind() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    metricreg.validate({"loss": MEMORY})
    torch.testing.assert_close(torch.rand(3), wanted)


def test_of_a_plugin_it_is_said_and_no_problem() -> None:
    class Odd(metricreg.Loss):
        """Takes batches of 17 only."""

        def terms(self, batch: Batch) -> Any:
            if len(batch) != 17:
                raise metricreg.InputError("17 rows are needed")
            return {"loss": metricreg.Term(self.distance.between(batch))}

    registry = metricreg.Registry()
    for entry in default_registry():
        registry.add(entry)
    metricreg.register(Odd, registry=registry)
    report = metricreg.validate({"loss": "local/odd"}, registry=registry)
    assert not report
    assert "17 rows are needed" in report.unchecked[0].message


def test_a_large_objective_is_not_constructed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_VALUES", 10)
    assert not metricreg.validate({"loss": MEMORY, "miner": "multi_similarity"})
