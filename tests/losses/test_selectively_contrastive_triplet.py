"""What is special about SelectivelyContrastiveTripletLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg import Batch, Execution
from metricreg.losses import SelectivelyContrastiveTripletLoss
from metricreg.miners import BatchEasyHardMiner
from tests.oracle import rows, value_and_gradients


def test_the_easiest_positive_and_the_hardest_negative_are_a_miners_choice() -> None:
    x, labels = rows(9), torch.arange(9) % 3
    miner = BatchEasyHardMiner(pos_strategy="easy", neg_strategy="hard")
    mined = SelectivelyContrastiveTripletLoss()(x, labels, tuples=miner.selection(Batch.of(x, labels)))
    s = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(x).T
    same = labels[:, None] == labels
    positive = s.masked_fill(~same | torch.eye(9, dtype=torch.bool), -2).amax(1)
    negative = s.masked_fill(same, -2).amax(1)
    easy = torch.nn.functional.cross_entropy(
        torch.stack([positive, negative], 1) / 0.1, torch.zeros(9, dtype=torch.long), reduction="none"
    )
    want = torch.where(negative > positive, negative, easy)
    assert 0 < int((negative > positive).sum()) < 9
    for g, w in zip(value_and_gradients(mined, [x]), value_and_gradients(want.mean(), [x]), strict=True):
        torch.testing.assert_close(g, w)


def test_a_positive_has_no_gradient_where_the_negative_is_nearer() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]], requires_grad=True)
    SelectivelyContrastiveTripletLoss()(x, [0, 0, 1], tuples=([0], [1], [2])).backward()
    assert x.grad is not None
    assert (x.grad[1] == 0).all()
    assert x.grad[2, 0] > 0


@pytest.mark.parametrize("count", [3, 7, 64, 200])
def test_rounding_does_not_decide_which_of_two_equals_is_nearer(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    row = torch.randn(1, 37, generator=generator)
    x = (row * torch.rand(count, 1, generator=generator).add(0.5)).requires_grad_()  # all in one direction
    for plan in (Execution("dense"), Execution("tiled", tile=5)):
        total = SelectivelyContrastiveTripletLoss(hard_weight=0.0)(x, torch.arange(count) % 2, execution=plan)
        assert float(total.detach()) == pytest.approx(0.6931, abs=1e-3)  # log 2 of every triplet
