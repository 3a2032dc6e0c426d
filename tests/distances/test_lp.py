"""LpDistance: what the Gram matrix resolves."""

from __future__ import annotations

import pytest
import torch

from metricreg import SpecError
from metricreg import distances as D
from metricreg.distances import LpDistance
from metricreg.losses import ContrastiveLoss
from tests.oracle import rows, value_and_gradients


def test_a_distance_above_the_resolution_is_accurate() -> None:
    x = torch.nn.functional.normalize(rows(4, dtype=torch.float32).detach())
    y = torch.nn.functional.normalize(x + 0.01 * rows(4, 1, dtype=torch.float32).detach())
    want = torch.cdist(x.double(), y.double()).diagonal()
    assert want.max() < 0.05
    torch.testing.assert_close(LpDistance()(x, y).diagonal().double(), want, rtol=0.02, atol=0)


def test_what_rounding_could_have_made_is_exactly_zero() -> None:
    x = torch.nn.functional.normalize(rows(64, dtype=torch.float32).detach())
    assert (LpDistance()(x, x.clone()).diagonal() == 0).all()
    assert (LpDistance(normalize=False)(x * 100 + 3, x * 100 + 3).diagonal() == 0).all()


def test_a_common_offset_does_not_blur_distances() -> None:
    x, y = rows(5, dtype=torch.float32).detach() + 300.0, rows(7, 1, dtype=torch.float32).detach() + 300.0
    want = torch.cdist(x.double(), y.double())
    torch.testing.assert_close(LpDistance(normalize=False)(x, y).double(), want, rtol=1e-4, atol=0)


def test_a_fractional_power_has_a_gradient_although_the_diagonal_is_zero() -> None:
    for p in (2.0, 1.0):
        x = rows(4).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(LpDistance(p=p, power=0.5)(x).sum(), x)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_one_row_far_away_leaves_the_others_distances_as_they_are() -> None:
    for offset in (1e4, 1e5):
        x = rows(64, dtype=torch.float32).detach()
        x[0] += offset
        got = D.LpDistance(normalize=False)(x)[1:, 1:]
        want = torch.cdist(x[1:].double(), x[1:].double())
        assert (got - want).abs().max() < 2e-3


@pytest.mark.parametrize("spread", [1e-3, 3e-4, 1e-4])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_collapsed_embeddings_keep_their_distances_and_gradient(spread: float, power: float) -> None:
    noise = torch.randn(48, 32, generator=torch.Generator().manual_seed(0))
    x = (1.0 + spread * noise).requires_grad_()
    exact = x.detach().double().requires_grad_()
    labels = torch.arange(48) % 6
    loss = ContrastiveLoss(distance=D.LpDistance(power=power))
    got = value_and_gradients(loss(x, labels), [x])
    want = value_and_gradients(loss(exact, labels), [exact])
    torch.testing.assert_close(got[0].double(), want[0], rtol=1e-3, atol=0)
    cosine = torch.nn.functional.cosine_similarity(got[1].double().flatten(), want[1].flatten(), dim=0)
    assert cosine > 0.99
    assert abs(float(got[1].norm() / want[1].norm()) - 1) < 0.05


@pytest.mark.parametrize("p", [0.5, 1.0, 3.0, 8.0, 16.0])
@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e3, 1e8])
def test_normalised_distances_do_not_depend_on_the_size_of_embeddings(p: float, size: float) -> None:
    x, y = rows(4).detach(), rows(6, 1).detach()
    want = torch.cdist(*(z / torch.linalg.vector_norm(z, p, dim=1, keepdim=True) for z in (x, y)), p=p)
    small = (x.float() * size).requires_grad_()
    got = LpDistance(p=p)(small, y.float() * size)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(got.sum(), small)
    leaf = x.requires_grad_()
    (scaled,) = torch.autograd.grad(LpDistance(p=p)(leaf, y).sum(), leaf)
    torch.testing.assert_close(gradient.double() * size, scaled, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("bad", [{"p": 0}, {"p": -1}, {"p": float("inf")}, {"p": 17}, {"power": 0}, {"power": -1}])
def test_orders_and_powers_that_no_float_can_hold_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=next(iter(bad))):
        D.LpDistance(**bad)
    if "power" in bad:
        for similarity in (D.CosineSimilarity, D.DotProductSimilarity):
            with pytest.raises(SpecError):
                similarity(power=0.5)  # type: ignore[arg-type]
