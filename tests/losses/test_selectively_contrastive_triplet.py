"""What is special about SelectivelyContrastiveTripletLoss; its formula is in test_formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricreg import Batch, Distance, Execution
from metricreg import distances as D
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


DISTANCES: dict[str, Callable[[], Distance]] = {
    "cosine": D.CosineSimilarity,
    "lp": D.LpDistance,
    "lp raw": lambda: D.LpDistance(normalize=False),
    "mahalanobis": lambda: D.MahalanobisDistance(16),
}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("radius", [1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("distance", DISTANCES)
def test_which_of_near_rows_is_nearer_is_as_in_float64(distance: str, radius: float, listed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, generator=generator) + radius * torch.randn(24, 16, generator=generator)
    labels = torch.arange(24) % 4
    tuples = torch.nonzero(torch.ones(24, 24, 24)).T[:, ::7].unbind() if listed else None
    if tuples is not None:
        a, p, n = tuples
        tuples = tuple(c[(labels[a] == labels[p]) & (a != p) & (labels[a] != labels[n])] for c in tuples)
    for plan in (Execution("dense"), Execution("tiled", tile=5)):
        found = []
        for dtype in (torch.float32, torch.float64):
            torch.manual_seed(0)
            loss = SelectivelyContrastiveTripletLoss(temperature=1.0, distance=DISTANCES[distance]()).to(dtype)
            # a negative has the gradient of its weight alone if it is nearer than the positive
            rows = x.to(dtype).requires_grad_()
            total = loss(rows, labels, tuples=tuples, execution=plan)
            found.append((total.detach().double(), torch.autograd.grad(total, rows)[0].double()))
        (got, gradient), (want, wanted) = found
        assert float(got) == pytest.approx(float(want), rel=1e-3)
        assert (gradient - wanted).norm() <= 1e-2 * wanted.norm()


def test_nothing_is_asked_again_where_it_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    again = SelectivelyContrastiveTripletLoss._nearer

    def nearer(self: SelectivelyContrastiveTripletLoss, batch: Batch, noise: Tensor, *columns: Tensor) -> Tensor:
        asked.append(len(noise))
        return again(self, batch, noise, *columns)

    monkeypatch.setattr(SelectivelyContrastiveTripletLoss, "_nearer", nearer)
    x = rows(12).detach().float()
    SelectivelyContrastiveTripletLoss()(x, torch.arange(12) % 3)
    x[4] = x[3]  # the positive 3 of each of 0, 6 and 9 is as near as the negative 4, and so is 4 of 1, 7 and 10 as 3
    SelectivelyContrastiveTripletLoss()(x, torch.arange(12) % 3)
    assert asked == [0, 6]
