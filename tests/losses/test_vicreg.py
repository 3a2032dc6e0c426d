"""What is special about VICRegLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from metricreg import Batch
from metricreg.distances import LpDistance
from metricreg.losses import VICRegLoss
from metricreg.reducers import SumReducer
from tests.oracle import rows


def test_the_parts_have_names() -> None:
    x, y = rows(4), rows(4, 1)
    terms = VICRegLoss().all_terms(Batch.of(x, ref_embeddings=y))
    assert list(terms) == ["invariance_loss", "variance_loss1", "variance_loss2", "covariance_loss"]


def test_the_second_derivative_is_that_of_finite_differences() -> None:
    x, y, loss = rows(4, 5), rows(4, 6), VICRegLoss()
    assert torch.autograd.gradgradcheck(lambda a, b: loss(a, ref_embeddings=b), (x, y))


def test_the_distance_it_is_about_may_be_named() -> None:
    x, y = rows(4), rows(4, 1)
    named = VICRegLoss(distance=LpDistance(power=2, normalize=False), reducer=SumReducer(), invariance_lambda=5.0)
    only = named(x, ref_embeddings=y) - VICRegLoss(invariance_lambda=0.0)(x, ref_embeddings=y)
    torch.testing.assert_close(only, named.distance.pairwise(x, y).sum())  # as 5 is both the factor and D
