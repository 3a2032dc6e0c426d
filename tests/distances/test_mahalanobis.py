"""MahalanobisDistance: its parameter."""

from __future__ import annotations

import copy

import pytest
import torch

import metricreg
from metricreg import InputError, SpecError
from metricreg.distances import LpDistance, MahalanobisDistance
from metricreg.losses import ContrastiveLoss, MultiSimilarityLoss, SupConLoss, TripletMarginLoss
from metricreg.miners import BatchHardMiner
from metricreg.reducers import MeanReducer
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


def test_it_is_euclidean_at_first() -> None:
    x = rows(6, dtype=torch.float32).detach()
    torch.testing.assert_close(MahalanobisDistance(DIM)(x), LpDistance(normalize=False)(x), rtol=0, atol=0)


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


def test_what_is_learned_lowers_the_loss_and_is_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(32, DIM)
    labels = (x[:, 0] > 0).long()  # only the first feature tells classes apart
    loss = TripletMarginLoss(margin=1.0, distance=MahalanobisDistance(DIM), reducer=MeanReducer())
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    first = loss(x, labels).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(x, labels).backward()
        optimizer.step()
    assert loss(x, labels).item() < 0.7 * first
    other = TripletMarginLoss(margin=1.0, distance=MahalanobisDistance(DIM), reducer=MeanReducer())
    assert list(loss.state_dict()) == ["distance.factor"]
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(x, labels), loss(x, labels))
    assert torch.equal(copy.deepcopy(loss)(x, labels), loss(x, labels))


def test_a_pipeline_is_built_from_a_spec_and_mines_with_it() -> None:
    distance = {"name": "mahalanobis", "embedding_size": DIM, "rank": 2}
    spec = {"loss": {"name": "contrastive", "distance": distance}, "miner": "batch_hard"}
    pipeline = metricreg.build(spec)
    assert pipeline.to_spec()["loss"]["distance"] == distance
    x = rows(6, dtype=torch.float32)
    pipeline(x, [0, 1, 0, 1, 0, 1]).backward()
    assert next(pipeline.parameters()).grad is not None
    assert len(BatchHardMiner(distance=MahalanobisDistance(DIM))(x, [0, 1, 0, 1, 0, 1]).columns()[0]) == 6


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
