"""What is special about BarlowTwinsLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg import Batch, SpecError
from metricreg.distances import CosineSimilarity
from metricreg.losses import BarlowTwinsLoss
from tests.oracle import rows, value_and_gradients


def test_it_is_what_batch_normalisation_gives_but_for_its_eps() -> None:
    x, y = rows(64), rows(64, 1)
    norm = torch.nn.BatchNorm1d(5, eps=1e-12, affine=False).double()
    c = norm(x).T @ norm(y) / 64
    eye = torch.eye(5, dtype=torch.bool)
    want = (c[eye] - 1.0).square().sum() + 0.0051 * c[~eye].square().sum()
    got = BarlowTwinsLoss()(x, ref_embeddings=y)
    for g, w in zip(value_and_gradients(got, [x, y]), value_and_gradients(want, [x, y]), strict=True):
        torch.testing.assert_close(g, w)


def test_scale_and_place_of_a_feature_do_not_matter() -> None:
    x, y = rows(10), rows(10, 1)
    scale, shift = torch.tensor([1.0, 1e-3, 1e3, 5.0, 0.1]), torch.tensor([0.0, 1.0, -2.0, 3.0, 1e2])
    want = BarlowTwinsLoss()(x, ref_embeddings=y)
    torch.testing.assert_close(BarlowTwinsLoss()(x * scale + shift, ref_embeddings=y), want)


def test_features_that_all_rows_share_but_for_rounding_have_no_gradient() -> None:
    x, y = rows(7, dtype=torch.float32).detach(), rows(7, 1, dtype=torch.float32).detach()
    x[:, 0] = 0.1
    assert ((x - x.mean(0))[:, 0] != 0).all()  # as the mean of seven of them is not quite it
    x.requires_grad_()
    total, gradient = value_and_gradients(BarlowTwinsLoss()(x, ref_embeddings=y), [x])
    assert total.isfinite()
    assert (gradient[:, 0] == 0).all()
    assert gradient[:, 1].abs().max() > 0


def test_the_parts_have_names() -> None:
    batch = Batch.of(rows(4), ref_embeddings=rows(4, 1))
    assert list(BarlowTwinsLoss().all_terms(batch)) == ["invariance_loss", "redundancy_loss"]


def test_a_power_of_the_correlation_is_refused() -> None:
    with pytest.raises(SpecError, match="power=1, not 2"):
        BarlowTwinsLoss(distance=CosineSimilarity(power=2))
