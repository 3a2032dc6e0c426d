"""One warning where batches have nothing to learn from."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch

import metricreg
from metricreg import NothingToLearnWarning

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
DISTINCT, SAME, USUAL = torch.arange(12), torch.zeros(12, dtype=torch.long), torch.arange(12) % 4


def said(objective: Any, *labels: torch.Tensor, **more: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for each in labels:
            objective(X, each, **more)
    return [str(w.message) for w in caught if issubclass(w.category, NothingToLearnWarning)]


@pytest.mark.parametrize("loss", ["contrastive", "ntxent", "triplet_margin", "fast_ap", "siglip"])
@pytest.mark.parametrize(("labels", "what"), [(DISTINCT, "no positive pair"), (SAME, "no negative pair")])
def test_batches_without_pairs_are_said_once(loss: str, labels: torch.Tensor, what: str) -> None:
    objective = metricreg.build({"loss": loss})
    (message,) = said(objective, labels, labels)
    assert what in message
    assert "filterwarnings" in message
    assert not said(objective, labels)


def test_a_single_odd_batch_is_not_said() -> None:
    assert not said(metricreg.build({"loss": "ntxent"}), USUAL, DISTINCT, SAME)


def test_a_miner_that_finds_nothing_is_said_after_some_batches() -> None:
    spec = {"loss": "contrastive", "miner": {"name": "pair_margin", "pos_margin": 1e6, "neg_margin": -1e6}}
    assert not said(metricreg.build(spec), *[USUAL] * 9)
    (message,) = said(metricreg.build(spec), *[USUAL] * 30)
    assert "miner has found nothing in 10 batches" in message


@pytest.mark.parametrize("loss", [
    "contrastive",
    {"name": "arcface", "num_classes": 12, "embedding_size": 6},
    {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": 6, "memory_size": 32},
])  # fmt: skip
def test_what_can_learn_says_nothing(loss: Any) -> None:
    objective = metricreg.build({"loss": loss})
    assert not said(objective, *[USUAL if loss == "contrastive" else DISTINCT] * 3)


def test_nothing_is_said_in_evaluation_nor_without_gradients() -> None:
    objective = metricreg.build({"loss": "ntxent"})
    assert not said(copy.deepcopy(objective).eval(), DISTINCT)
    with torch.no_grad():
        assert not said(objective, DISTINCT)


def test_references_may_have_the_positives() -> None:
    objective = metricreg.build({"loss": "ntxent"})
    assert not said(objective, DISTINCT, ref_embeddings=X.detach().flip(1), ref_labels=DISTINCT)
    other = metricreg.build({"loss": "ntxent"})
    assert said(other, DISTINCT, ref_embeddings=X.detach(), ref_labels=DISTINCT + 100)


def test_it_can_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=metricreg.NothingToLearnWarning)
        metricreg.build({"loss": "ntxent"})(X, DISTINCT)
