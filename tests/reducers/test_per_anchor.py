"""PerAnchorReducer: how ntxent and supcon stand to each other."""

from __future__ import annotations

import torch

from metricreg.losses import NTXentLoss, SupConLoss
from metricreg.reducers import MeanReducer, PerAnchorReducer
from tests.oracle import rows


def test_ntxent_of_each_anchor_is_supcon_where_each_has_one_positive() -> None:
    ntxent, supcon = NTXentLoss(temperature=0.1, reducer=PerAnchorReducer()), SupConLoss(0.1, reducer=MeanReducer())
    x, pairs, triples = rows(6), [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(ntxent(x, pairs), supcon(x, pairs))
    assert supcon(x, triples) > ntxent(x, triples)  # the other positives stand in its denominators
