"""PackagedTripletsMiner: which rows it takes together, and what it refuses."""

from __future__ import annotations

import pytest
import torch

import metricreg
from metricreg import InputError
from metricreg.losses import TripletMarginLoss
from metricreg.miners import PackagedTripletsMiner


def test_takes_rows_in_threes() -> None:
    found = PackagedTripletsMiner()(torch.randn(9, 4), None)
    assert [column.tolist() for column in found.columns()] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    empty = PackagedTripletsMiner()(torch.randn(0, 4), None)
    assert [len(column) for column in empty.columns()] == [0, 0, 0]


def test_trains_on_the_triplets_of_a_loader_without_labels() -> None:
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    pipeline = metricreg.build({"loss": {"name": "triplet_margin", "margin": 1.0}, "miner": "packaged_triplets"})
    want = TripletMarginLoss(margin=1.0)(x, tuples=([0, 3], [1, 4], [2, 5]))
    torch.testing.assert_close(pipeline(x), want)
    pipeline(x).backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()


def test_refuses_what_is_no_list_of_triplets() -> None:
    with pytest.raises(InputError, match="takes rows in threes, and there are 8"):
        PackagedTripletsMiner()(torch.randn(8, 4), None)
    with pytest.raises(InputError, match="takes the triplets of one batch, and no ref_embeddings"):
        PackagedTripletsMiner()(torch.randn(6, 4), [0] * 6, torch.randn(3, 4), [0] * 3)
