"""Specs that are the same as losses of sentence-transformers, as the README's table has them: value and gradient."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from metricreg_sentence_transformers import MetricLoss
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+\(.*?\))` \| `(.+?)` \|$", README, re.MULTILINE))

TEXTS = ["a cat", "two dogs", "the cats sleep", "a dog barks", "cats", "dogs run fast", "stocks fell", "a bank failed"]
ANCHORS = ["a cat", "a dog barks", "stocks fell", "heavy rain", "a red car"]
POSITIVES = ["the cats sleep", "two dogs", "the market is down", "it pours", "a crimson vehicle"]
NEGATIVES = ["a rat", "a wolf howls", "stocks rose", "bright sunshine", "a blue boat"]
OTHERS = ["a lion", "a fox", "bonds fell", "a rainbow", "a red house"]
CLASSES = torch.tensor([0, 1, 0, 1, 0, 1, 2, 2])
JUDGED = torch.tensor([1, 0, 0, 1, 1])
DATA: dict[str, tuple[list[list[str]], Tensor | None]] = {
    "classes": ([TEXTS], CLASSES),
    "pairs": ([ANCHORS, POSITIVES], None),
    "triplets": ([ANCHORS, POSITIVES, NEGATIVES], None),
    "four columns": ([ANCHORS, POSITIVES, NEGATIVES, OTHERS], None),
    "judged": ([ANCHORS, POSITIVES], JUDGED),
    "judged by floats": ([ANCHORS, POSITIVES], JUDGED.float()),
}
DATA_OF = {
    "MultipleNegativesRankingLoss": ["pairs", "triplets", "four columns"],
    "CachedMultipleNegativesRankingLoss": ["pairs", "triplets"],
    "TripletLoss": ["triplets"],
    "BatchAllTripletLoss": ["classes"],
    "BatchHardTripletLoss": ["classes"],
    "BatchHardSoftMarginTripletLoss": ["classes"],
    "ContrastiveLoss": ["judged", "judged by floats"],
}


def tokenized(encoder: SentenceTransformer, texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = encoder.preprocess(texts)
    return found


def value_and_gradients(loss: nn.Module, columns: list[list[str]], labels: Tensor | None) -> list[Tensor]:
    encoder: Any = loss.model if hasattr(loss, "model") else loss.sentence_embedder
    loss.zero_grad()
    value = loss([tokenized(encoder, column) for column in columns], labels)
    value.backward()
    found = [parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None]
    assert found
    assert sum(float(gradient.abs().sum()) for gradient in found) > 0
    return [value.detach(), *found]


def native(written: str, encoder: SentenceTransformer) -> nn.Module:
    """The loss that a row of the table writes, as `Name(argument=value)`."""
    name, _, arguments = written.rstrip(")").partition("(")
    metrics = losses.TripletDistanceMetric
    names = {
        "SiameseDistanceMetric": losses.SiameseDistanceMetric,
        "TripletDistanceMetric": metrics,
        "dot_score": lambda x, y: x @ y.mT,
    }
    loss: nn.Module = eval(f"losses.{name}(encoder, {arguments})", {"losses": losses, "encoder": encoder, **names})
    return loss


def ours(written: str, encoder: SentenceTransformer) -> MetricLoss:
    """The loss of a row of the table: a spec, and perhaps arguments."""
    document = re.match(r"\{.*\}", written)
    assert document is not None
    arguments = eval(f"dict({written[document.end() :].lstrip(', ')})")
    return MetricLoss(encoder, json.loads(document[0]), **arguments)


def test_the_table_has_rows_for_each_of_the_losses() -> None:
    assert {row.partition("(")[0] for row in ROWS} == set(DATA_OF)


@pytest.mark.parametrize(("row", "data"), [(row, data) for row in ROWS for data in DATA_OF[row.partition("(")[0]]])
def test_the_readmes_spec_is_the_native_loss(row: str, data: str, encoder: SentenceTransformer) -> None:
    encoder = encoder.double().eval()  # without dropout
    found = value_and_gradients(ours(ROWS[row], encoder), *DATA[data])
    expected = value_and_gradients(native(row, encoder), *DATA[data])
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
