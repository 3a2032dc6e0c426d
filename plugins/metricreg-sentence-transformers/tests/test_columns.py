"""What becomes of the columns and labels of a dataset, without the encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from metricreg_sentence_transformers import MetricLoss
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

import metricreg

B, D = 6, 5
SYMMETRIC = {"name": "self_supervised", "loss": "ntxent"}
ARCFACE = {"name": "arcface", "num_classes": 3, "embedding_size": D}
MOCO = {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": D, "memory_size": 64}


@pytest.fixture(name="model", scope="module")
def _model() -> SentenceTransformer:
    return SentenceTransformer(modules=[nn.Identity()], device="cpu").train()


def columns(count: int) -> list[Tensor]:
    return [torch.randn(B, D, dtype=torch.float64, requires_grad=True) for _ in range(count)]


def same(loss: MetricLoss, given: list[Tensor], of: Any, **expected: Any) -> None:
    """The value and the gradients of a call are those of the pipeline, called by hand."""
    state = {key: value.clone() for key, value in loss.pipeline.state_dict().items()}
    found = loss.compute_loss_from_embeddings(given, of)
    gradients = torch.autograd.grad(found, given)
    loss.pipeline.load_state_dict(state)
    by_hand = loss.pipeline(given[0], **expected)
    assert by_hand.item() != 0
    torch.testing.assert_close(found, by_hand)
    torch.testing.assert_close(gradients, torch.autograd.grad(by_hand, given))


@pytest.mark.parametrize(
    "loss", ["supcon", "triplet_margin", ARCFACE, {"name": "multiple", "losses": ["nca", ARCFACE]}]
)
def test_one_column_is_of_classes(loss: Any, model: SentenceTransformer) -> None:
    labels = torch.arange(B) % 3
    same(MetricLoss(model, {"loss": loss}), columns(1), labels, labels=labels)


def test_one_column_may_have_sets_of_labels(model: SentenceTransformer) -> None:
    sets = torch.rand(B, 4) > 0.5
    loss = MetricLoss(model, {"loss": {"name": "supcon", "match": "share_any"}})
    same(loss, columns(1), sets, labels=sets)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("loss", ["ntxent", "multi_similarity", "contrastive", "siglip"])
def test_columns_without_labels_are_anchors_positives_and_negatives(
    loss: str, count: int, model: SentenceTransformer
) -> None:
    given = columns(count)
    labels = torch.arange(B * (count - 1))
    expected = {"labels": labels[:B], "ref_embeddings": torch.cat(given[1:]), "ref_labels": labels}
    same(MetricLoss(model, {"loss": loss}), given, None, **expected)


def test_a_miner_selects_among_the_texts_of_a_batch(model: SentenceTransformer) -> None:
    given = columns(3)
    labels = torch.arange(2 * B)
    loss = MetricLoss(model, {"loss": "triplet_margin", "miner": "batch_hard"})
    same(loss, given, None, labels=labels[:B], ref_embeddings=torch.cat(given[1:]), ref_labels=labels)


@pytest.mark.parametrize("loss", [SYMMETRIC, {**SYMMETRIC, "symmetric": False}, "vicreg", "barlow_twins"])
def test_two_columns_are_two_views(loss: Any, model: SentenceTransformer) -> None:
    given = columns(2)
    same(MetricLoss(model, {"loss": loss}), given, None, ref_embeddings=given[1])


def test_two_views_may_stand_beside_a_loss_with_negatives(model: SentenceTransformer) -> None:
    given, labels = columns(2), torch.arange(B)
    loss = MetricLoss(model, {"loss": {"name": "multiple", "losses": ["ntxent", "vicreg"]}})
    same(loss, given, None, labels=labels, ref_embeddings=given[1], ref_labels=labels)


def test_without_in_batch_negatives_each_row_stands_alone(model: SentenceTransformer) -> None:
    given = columns(4)
    loss = MetricLoss(model, {"loss": "triplet_margin"}, in_batch_negatives=False)
    rows = torch.arange(B).repeat(2)
    same(loss, given, None, ref_embeddings=torch.cat(given[1:]), tuples=(rows, rows, torch.arange(B, 3 * B)))
    (gradient,) = torch.autograd.grad(loss.compute_loss_from_embeddings([x[:1] for x in given]), given[1])
    assert torch.equal(gradient[1:], torch.zeros(B - 1, D, dtype=torch.float64))


@pytest.mark.parametrize("labels", [torch.tensor([1, 0, 0, 1, 1, 0]), torch.tensor([1.0, 0, 0, 1, 1, 0])[:, None]])
def test_two_columns_with_labels_are_pairs_that_belong_together_or_not(
    labels: Tensor, model: SentenceTransformer
) -> None:
    given = columns(2)
    near, far = torch.tensor([0, 3, 4]), torch.tensor([1, 2, 5])
    same(
        MetricLoss(model, {"loss": "contrastive"}),
        given,
        labels,
        ref_embeddings=given[1],
        tuples=(near, near, far, far),
    )


def test_a_memory_takes_no_text_for_one_of_an_earlier_batch(model: SentenceTransformer) -> None:
    loss = MetricLoss(model, {"loss": MOCO})
    for _ in range(3):
        loss.compute_loss_from_embeddings(columns(2))
    memory = loss.pipeline.loss.memory
    stored = next(value for name, value in memory.named_buffers() if "label" in name)
    assert len(torch.unique(stored[: int(memory.count)])) == 3 * B


@pytest.mark.parametrize("training", [True, False])
def test_the_pipeline_is_in_the_mode_of_the_encoder(training: bool, model: SentenceTransformer) -> None:
    loss = MetricLoss(model, {"loss": MOCO}).train()
    model.train(training)  # as the trainer does: it leaves the loss as it is
    loss.compute_loss_from_embeddings(columns(2))
    model.train()
    assert bool(loss.pipeline.loss.memory.count > 0) == training
    assert bool(loss.first > 0) == training


WRONG: dict[str, tuple[Any, int, Any, str]] = {
    "no labels": ("supcon", 1, None, "single texts need labels: give a dataset with one column of texts and a column"),
    "scores of single texts": ("supcon", 1, torch.rand(B), "labels of single texts are integers; got torch.float32"),
    "one view": ("vicreg", 1, None, "needs a dataset with two columns of texts .* got one column"),
    "one view of a class": (SYMMETRIC, 1, torch.arange(B), "two columns of texts"),
    "three views": (SYMMETRIC, 3, None, "two columns of texts .* got 3"),
    "two views beside labels": ("barlow_twins", 2, torch.ones(B), "keep the pairs whose label is 1, and drop"),
    "class vectors of pairs": (ARCFACE, 2, None, "compares texts with class vectors: .* got 2 columns"),
    "class vectors of judged pairs": (ARCFACE, 2, torch.ones(B), "class vectors.* got pairs of texts"),
    "scores of pairs": ("contrastive", 2, torch.rand(B), "labels of pairs are 1.* got 0.* CoSENTLoss"),
    "classes of pairs": ("contrastive", 2, torch.arange(B), "labels of pairs are 1, they belong together, or 0; got 2"),
    "NaN as a score": ("contrastive", 2, torch.full((B,), torch.nan), "got nan"),
    "labels of triplets": ("contrastive", 3, torch.ones(B), "labels go with one column of texts.* got 3 columns"),
    "several labels a pair": ("contrastive", 2, torch.ones(B, 2), "one label each"),
    "terms": ({"name": "ntxent", "reducer": "do_nothing"}, 2, None, "a trainer needs a number"),
    "nothing": ("ntxent", 0, None, "no column of texts"),
}


@pytest.mark.parametrize(("spec", "count", "labels", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_said(
    spec: Any, count: int, labels: Any, message: str, model: SentenceTransformer
) -> None:
    with pytest.raises(metricreg.InputError, match=message):
        MetricLoss(model, {"loss": spec}).compute_loss_from_embeddings(columns(count), labels)


def test_rows_without_negatives_cannot_leave_those_of_the_batch_out(model: SentenceTransformer) -> None:
    loss = MetricLoss(model, {"loss": "triplet_margin"}, in_batch_negatives=False)
    with pytest.raises(metricreg.InputError, match="needs a third column"):
        loss.compute_loss_from_embeddings(columns(2))
    for spec in ("vicreg", SYMMETRIC, ARCFACE):
        with pytest.raises(metricreg.InputError, match="leave it out with"):
            MetricLoss(model, {"loss": spec}, in_batch_negatives=False)
