"""MahalanobisDistance: its parameter."""

from __future__ import annotations

import pytest
import torch

import metricreg
from metricreg import InputError, SpecError
from metricreg.distances import LpDistance, MahalanobisDistance
from metricreg.losses import ContrastiveLoss, MultiSimilarityLoss, SupConLoss, TripletMarginLoss
from tests.oracle import DIM, PLANS, assert_close, batch, rows, value_and_gradients
from tests.reference.distances import mahalanobis_measure


def learned(rank: int | None = 3) -> MahalanobisDistance:
    torch.manual_seed(1)
    distance = MahalanobisDistance(DIM, rank).double()
    with torch.no_grad():
        distance.factor += 0.3 * torch.randn_like(distance.factor)
    return distance


@pytest.mark.parametrize("rank", [None, 1, 3, DIM])
def test_the_gradient_of_the_factor_is_that_of_the_quadratic_form(rank: int | None) -> None:
    ours, x, y, slope = learned(rank), rows(4), rows(3, 1), rows(4, 2)[:, :3].detach()
    table = mahalanobis_measure(ours.factor).table(x, y)
    want = torch.stack([torch.stack(row) for row in table])
    leaves = [x, y, ours.factor]
    got = value_and_gradients((slope * ours(x, y)).sum(), leaves)
    assert_close(got, value_and_gradients((slope * want).sum(), leaves), 1e-10)


@pytest.mark.parametrize("loss", [ContrastiveLoss, TripletMarginLoss, MultiSimilarityLoss, SupConLoss])
def test_every_plan_has_the_gradient_of_the_factor(loss: type[metricreg.Loss]) -> None:
    case, objective = batch([0, 1, 2, 3, 0, 1, 2, 3, 0, 1]), loss(distance=learned())
    leaves = [case.x, *objective.parameters()]
    assert len(leaves) == 2
    want = value_and_gradients(objective(case.x, case.labels, execution=PLANS["dense"]), leaves)
    assert want[2].abs().max() > 0
    for name, plan in PLANS.items():
        got = value_and_gradients(objective(case.x, case.labels, execution=plan), leaves)
        assert_close(got, want, 1e-10, name)


def test_a_projection_keeps_distances_on_average() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 64)
    with torch.no_grad():
        ratio = torch.stack([MahalanobisDistance(64, 16, power=2)(x).sum() for _ in range(20)]).mean()
    assert 0.95 < float(ratio / LpDistance(normalize=False, power=2)(x).sum()) < 1.05


def test_equal_embeddings_have_no_slope() -> None:
    x, distance = rows(1).detach().expand(3, -1).clone().requires_grad_(), learned()
    for part in value_and_gradients(distance(x).sum(), [x, distance.factor]):
        assert (part == 0).all()


def test_half_precision_keeps_the_parameters_type() -> None:
    loss, x = ContrastiveLoss(distance=MahalanobisDistance(DIM)), rows(6, dtype=torch.bfloat16)
    loss(x, [0, 1, 0, 1, 0, 1]).backward()
    assert loss.distance.factor.dtype is torch.float32


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="rank is at most embedding_size, 5; got 6"):
        MahalanobisDistance(5, 6)
    with pytest.raises(SpecError, match="rank"):
        MahalanobisDistance(5, 0)
    with pytest.raises(InputError, match="embedding_size 4; the embeddings have 5"):
        MahalanobisDistance(4)(rows(3))
