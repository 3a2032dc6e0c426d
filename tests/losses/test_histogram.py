"""What is special about HistogramLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg import Batch
from metricreg.losses import HistogramLoss
from tests.oracle import DISTANCES, REDUCERS, batch, check, pair_loss, rows, with_tuples
from tests.reference.pair_losses import histogram

MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


def test_a_pair_counts_once_in_whichever_order_it_is_listed() -> None:
    case = batch([0, 0, 1, 0, 1])
    once = with_tuples(case, [0, 0, 2], [1, 3, 4], [0, 2], [2, 3])
    again = with_tuples(case, [0, 1, 0, 3, 2], [1, 0, 3, 0, 4], [0, 0, 3], [2, 2, 2])
    want = HistogramLoss()(case.x, case.labels, tuples=once.tuples)
    torch.testing.assert_close(HistogramLoss()(case.x, case.labels, tuples=again.tuples), want)
    assert float(want.detach()) > 0


def test_a_pair_may_be_listed_as_both_kinds() -> None:
    case = with_tuples(batch([0, 1, 0]), [0, 0], [1, 2], [0, 1], [1, 2])
    check(HistogramLoss(), pair_loss(histogram, MEASURE, REDUCE), case)


def test_many_pairs_in_a_bin_are_all_counted() -> None:
    x, labels = torch.ones(6000, 2), torch.arange(6000) % 2
    assert float(HistogramLoss(1)(x, labels)) == pytest.approx(1.0, rel=1e-4)


def test_many_bins_are_made_for_few_anchors_at_a_time() -> None:
    loss, case = HistogramLoss(n_bins=1000), Batch.of(rows(40), [0] * 40)
    assert loss.width(loss.prepare(case)) == 2 * 1001


def test_takes_both_parameters_if_they_agree() -> None:
    assert HistogramLoss(n_bins=40, delta=0.05).n_bins == HistogramLoss(delta=0.05).n_bins == 40
