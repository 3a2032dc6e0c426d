"""What is special about TripletMarginLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg import Batch, Execution, Triplets
from metricreg.losses import TripletMarginLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import FEW_PLANS, rows, with_references


@pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
def test_random_triplets_are_as_many_as_asked_for_and_right(plan: Execution) -> None:
    x, labels = rows(8), torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    batch = Batch.of(x, labels)
    torch.manual_seed(0)
    selection = TripletMarginLoss(triplets_per_anchor=5).prepare(batch).selection
    assert isinstance(selection, Triplets)
    a, p, n = selection.columns()
    assert a.tolist() == [i for i in range(8) if i != 5 for _ in range(5)]  # 5 has no positive
    assert ((labels[a] == labels[p]) & (a != p) & (labels[a] != labels[n])).all()
    torch.manual_seed(0)
    total = TripletMarginLoss(triplets_per_anchor=5)(x, labels, execution=plan)
    want = TripletMarginLoss()(x, labels, tuples=selection, execution=plan)
    torch.testing.assert_close(total, want, rtol=1e-12, atol=0)


def test_random_triplets_are_drawn_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.CPU_TILE_VALUES", 80)  # two anchors a tile
    labels = torch.arange(40) % 10
    with LargestTensor() as largest:
        selection = TripletMarginLoss(triplets_per_anchor=2).prepare(Batch.of(rows(40), labels)).selection
    assert isinstance(selection, Triplets)
    a, p, n = selection.columns()
    assert a.tolist() == [i for i in range(40) for _ in range(2)]
    assert ((labels[a] == labels[p]) & (a != p) & (labels[a] != labels[n])).all()
    assert largest.numel <= 200


def test_random_triplets_come_from_the_references() -> None:
    case = with_references([0, 1, 5], [1, 0, 0, 2])
    batch = Batch.of(case.x, case.labels, ref_embeddings=case.ref, ref_labels=case.ref_labels)
    selection = TripletMarginLoss(triplets_per_anchor=3).prepare(batch).selection
    assert isinstance(selection, Triplets)
    assert selection.anchor.tolist() == [0, 0, 0, 1, 1, 1]
    assert set(selection.positive.tolist()) <= {0, 1, 2}


def test_random_triplets_of_a_batch_without_any_are_none() -> None:
    total = TripletMarginLoss(triplets_per_anchor=3)(rows(3), [0, 1, 2])
    assert float(total.detach()) == 0.0
    assert total.requires_grad


def test_listed_triplets_are_all_used_however_many_are_wanted() -> None:
    x, tuples = rows(6), ([0, 0, 1], [1, 1, 0], [2, 3, 4])
    want = TripletMarginLoss(margin=1.0)(x, tuples=tuples)
    torch.testing.assert_close(TripletMarginLoss(margin=1.0, triplets_per_anchor=1)(x, tuples=tuples), want)
