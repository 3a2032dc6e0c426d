"""What is special about MarginLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Batch, InputError, Triplets
from metricreg.distances import CosineSimilarity, LpDistance
from metricreg.losses import MarginLoss
from metricreg.reducers import AvgNonZeroReducer, MeanReducer, ThresholdReducer
from tests.largest_tensor import LargestTensor
from tests.oracle import rows, value_and_gradients


@pytest.mark.parametrize("learn_beta", [False, True])
@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_boundary_is_part_of_the_state(learn_beta: bool, num_classes: int | None) -> None:
    loss = MarginLoss(beta=0.7, learn_beta=learn_beta, num_classes=num_classes)
    assert loss.state_dict()["beta"].tolist() == pytest.approx([0.7] * (num_classes or 1))
    assert len(list(loss.parameters())) == int(learn_beta)


@pytest.mark.parametrize("reducer", [None, MeanReducer()])
def test_triplets_are_not_listed_where_their_sum_is_enough(reducer: Any) -> None:
    x, labels = rows(64, dtype=torch.float32), torch.arange(64) // 8
    loss = MarginLoss(reducer=reducer)
    assert loss.width(Batch.of(x, labels)) == 64
    with LargestTensor() as largest:
        loss(x, labels).backward()
    assert largest.numel <= 64 * 65


def test_random_triplets_are_as_many_as_asked_for() -> None:
    x, labels = rows(8), torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    torch.manual_seed(0)
    selection = MarginLoss(triplets_per_anchor=5).prepare(Batch.of(x, labels)).selection
    assert isinstance(selection, Triplets)
    assert selection.anchor.tolist() == [i for i in range(8) if i != 5 for _ in range(5)]
    torch.manual_seed(0)
    total = MarginLoss(triplets_per_anchor=5)(x, labels)
    torch.testing.assert_close(total, MarginLoss()(x, labels, tuples=selection))


def test_a_boundary_a_class_wants_labels_of_those_classes() -> None:
    loss = MarginLoss(num_classes=2)
    with pytest.raises(InputError, match="MarginLoss has 2 classes, so labels are 0 to 1; found 0 to 2"):
        loss(rows(3), [0, 1, 2])


def test_similarities_and_distances_agree_on_what_violates() -> None:
    x, labels = rows(10), torch.arange(10) % 3
    near = MarginLoss(beta=0.5, margin=0.1, distance=CosineSimilarity())(x, labels)
    half = MarginLoss(beta=0.5, margin=0.1, distance=LpDistance(power=2))  # 2 - 2 cos
    with torch.no_grad():
        half.beta.fill_(1.0)
    half.margin = 0.2
    torch.testing.assert_close(half(x, labels), 2 * near)


@pytest.mark.parametrize("reducer", [None, MeanReducer(), AvgNonZeroReducer(), ThresholdReducer(0.05, 0.3)])
def test_sums_over_pairs_are_those_over_triplets(reducer: Any) -> None:
    """A selection of the same pairs, of which each might count more than once, makes the triplets."""
    x, labels = rows(12), torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4])
    alike = labels[:, None] == labels
    positives, negatives = (alike & ~torch.eye(12, dtype=torch.bool)).nonzero().T, (~alike).nonzero().T
    loss = MarginLoss(beta=0.9, margin=0.3, reducer=reducer)
    pairs = (positives[0], positives[1], negatives[0], negatives[1])
    found = [value_and_gradients(total, [x]) for total in (loss(x, labels), loss(x, labels, tuples=pairs))]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert found[0][0] > 0
