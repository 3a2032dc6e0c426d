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


def said(objective: Any, *labels: Any, **more: Any) -> list[str]:
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
    assert "miner has found nothing" in message
    assert "in 10 batches" in message


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
    never = {"ref_embeddings": X.detach(), "ref_labels": DISTINCT + 100}
    assert not said(metricreg.build({"loss": "ntxent"}), *[DISTINCT] * 9, **never)
    (message,) = said(metricreg.build({"loss": "ntxent"}), *[DISTINCT] * 30, **never)
    assert "10 batches one after the other" in message


MEMORY = {"name": "cross_batch_memory", "embedding_size": 6, "memory_size": 24}
NOTHING = {"name": "pair_margin", "pos_margin": 1e6, "neg_margin": -1e6}


@pytest.mark.parametrize("loss", [
    {"name": "multiple", "losses": ["contrastive", "ntxent"]},
    {"name": "multiple", "losses": [{"name": "multiple", "losses": {"a": "supcon"}}]},
    {"name": "contrastive", "match": "same_label"},
])  # fmt: skip
@pytest.mark.parametrize(("labels", "what"), [(DISTINCT, "no positive pair"), (SAME, "no negative pair")])
def test_losses_inside_are_looked_at(loss: Any, labels: torch.Tensor, what: str) -> None:
    objective = metricreg.build({"loss": loss})
    (message,) = said(objective, labels, labels)
    assert what in message
    assert not said(metricreg.build({"loss": loss}), USUAL, labels)


@pytest.mark.parametrize("loss", [
    {"name": "multiple", "losses": ["contrastive", "ntxent"], "miners": [None, NOTHING]},
    {**MEMORY, "loss": "contrastive", "miner": NOTHING},
    {**MEMORY, "loss": {"name": "multiple", "losses": ["contrastive"], "miners": [NOTHING]}},
])  # fmt: skip
def test_miners_inside_are_looked_at(loss: Any) -> None:
    assert not said(metricreg.build({"loss": loss}), *[USUAL] * 9)
    (message,) = said(metricreg.build({"loss": loss}), *[USUAL] * 30)
    assert "miner has found nothing" in message


@pytest.mark.parametrize("tuples", [([], [], []), ([], [], [], [])])
def test_tuples_that_list_nothing_are_said_after_some_batches(tuples: Any) -> None:
    for loss in ("contrastive", {"name": "arcface", "num_classes": 4, "embedding_size": 6}):
        assert not said(metricreg.build({"loss": loss}), *[USUAL] * 9, tuples=tuples)
        (message,) = said(metricreg.build({"loss": loss}), *[USUAL] * 30, tuples=tuples)
        assert "tuples= listed nothing" in message


def test_a_memory_has_some_batches_to_find_positives_in() -> None:
    spec = {"loss": {**MEMORY, "loss": "ntxent"}}
    fresh = [DISTINCT + 12 * k for k in range(30)]
    assert not said(metricreg.build(spec), *fresh[:9], DISTINCT + 12 * 8, *fresh)  # once is enough
    (message,) = said(metricreg.build(spec), *fresh)
    assert "no positive pair" in message
    assert "10 batches" in message
    (message,) = said(metricreg.build(spec), *[SAME] * 12)
    assert "no negative pair" in message


def test_label_sets_are_compared_by_the_match() -> None:
    spec = {"loss": {"name": "contrastive", "match": "share_any"}}
    assert not said(metricreg.build(spec), torch.eye(12).long().roll(1, 0) + torch.eye(12).long())
    (message,) = said(metricreg.build(spec), torch.eye(12).long())
    assert "belong together by the match, so that there is no positive pair" in message


def test_views_have_positives_without_labels() -> None:
    for symmetric in (True, False):
        objective = metricreg.build({"loss": {"name": "self_supervised", "loss": "ntxent", "symmetric": symmetric}})
        assert not said(objective, *[None] * 12, ref_embeddings=X.detach().flip(1))


def test_the_line_of_the_caller_is_said() -> None:
    for loss in ("ntxent", {"name": "multiple", "losses": ["ntxent"]}):
        with pytest.warns(NothingToLearnWarning) as caught:
            metricreg.build({"loss": loss})(X, DISTINCT)
        assert caught[0].filename == __file__


def test_a_copy_goes_on_by_itself() -> None:
    objective = metricreg.build({"loss": {"name": "multiple", "losses": ["contrastive"], "miners": [NOTHING]}})
    assert not said(objective, *[USUAL] * 9)
    assert said(copy.deepcopy(objective), USUAL)
    assert said(objective, USUAL)


def test_it_can_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=metricreg.NothingToLearnWarning)
        metricreg.build({"loss": "ntxent"})(X, DISTINCT)
