"""The distance of the Poincaré ball against Möbius addition, point by point, and as specs see it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from metricreg_hyperbolic import PoincareDistance
from torch import Tensor

import metricreg
from metricreg import Execution, SpecError


def vectors(count: int, size: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(count, 4, dtype=torch.float64, generator=generator)


def on_ball(v: Tensor, c: float) -> Tensor:
    norm = float(v.norm())
    return v if norm == 0.0 else math.tanh(math.sqrt(c) * norm) * v / (math.sqrt(c) * norm)


def by_moebius_addition(x: Tensor, y: Tensor, c: float) -> float:
    x = -x
    xy, xx, yy = float(x @ y), float(x @ x), float(y @ y)
    added = ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)
    return 2 / math.sqrt(c) * math.atanh(math.sqrt(c) * float(added.norm()))


@pytest.mark.parametrize("c", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("mapped", [True, False])
def test_entries_are_lengths_of_geodesics(mapped: bool, c: float) -> None:
    size = 0.5 if mapped else 0.1  # inside the ball
    v, w = vectors(5, size), vectors(6, size, 1)
    found = PoincareDistance(c, mapped)(v, w)
    x, y = ([on_ball(p, c) if mapped else p for p in points] for points in (v, w))
    want = [[by_moebius_addition(a, b, c) for b in y] for a in x]
    torch.testing.assert_close(found, torch.tensor(want, dtype=torch.float64))


def test_is_symmetric_zero_to_itself_and_obeys_the_triangle() -> None:
    d = PoincareDistance()(vectors(12))
    assert torch.equal(d.diagonal(), torch.zeros(12, dtype=torch.float64))
    torch.testing.assert_close(d, d.mT)
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-12).all()


def test_from_the_center_it_is_twice_the_length_of_the_vector() -> None:
    v = vectors(5, 0.5)
    for c in (0.2, 1.0):
        torch.testing.assert_close(PoincareDistance(c)(torch.zeros_like(v[:1]), v)[0], 2.0 * v.norm(dim=1))


def test_with_little_curvature_it_is_euclidean() -> None:
    v = vectors(6)
    torch.testing.assert_close(PoincareDistance(1e-9)(v), 2.0 * torch.cdist(v, v), rtol=1e-6, atol=1e-6)


def test_points_beyond_the_rim_are_drawn_back_to_it() -> None:
    v = vectors(4)
    far = v * 100.0
    d = PoincareDistance(mapped=False)
    torch.testing.assert_close(d(far), d(v / v.norm(dim=1, keepdim=True) * (1.0 - 1e-5)))


def test_clipping_cuts_the_vectors() -> None:
    v = vectors(8, 3.0)
    cut = v * (2.3 / v.norm(dim=1, keepdim=True)).clamp(max=1.0)
    torch.testing.assert_close(PoincareDistance(0.1, clip=2.3)(v), PoincareDistance(0.1)(cut))
    torch.testing.assert_close(PoincareDistance(power=2.0)(v), PoincareDistance()(v) ** 2)


def test_gradients_are_right() -> None:
    v, w = vectors(3).requires_grad_(), vectors(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(PoincareDistance(0.5), (v, w))
    assert torch.autograd.gradgradcheck(PoincareDistance(0.5), (v, w))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-4, 1.0, 100.0, 1e8])
@pytest.mark.parametrize("mapped", [True, False])
def test_is_finite_with_its_gradient_everywhere(mapped: bool, size: float, dtype: torch.dtype) -> None:
    v = vectors(6, size).to(dtype)
    v = torch.cat([v, v[:2], torch.zeros(1, 4, dtype=dtype)]).requires_grad_()
    d = PoincareDistance(mapped=mapped)(v)
    (gradient,) = torch.autograd.grad(d.sum(), v)
    assert d.isfinite().all()
    assert gradient.isfinite().all()


def test_a_nan_is_not_hidden() -> None:
    v = vectors(3)
    v[1, 2] = torch.nan
    assert PoincareDistance()(v).isnan()[1].all()


SPEC: dict[str, Any] = {"name": "hyperbolic/poincare", "curvature": 0.1, "clip": 2.3}


@pytest.mark.parametrize("loss", ["ntxent", "contrastive", "triplet_margin", "supcon", "proxy_nca"])
def test_works_from_a_spec_in_both_plans_and_round_trips(loss: str) -> None:
    own = {"num_classes": 4, "embedding_size": 4} if loss == "proxy_nca" else {}
    spec = {"version": 1, "loss": {"name": loss, **own, "distance": SPEC}, "requires": {"metricreg-hyperbolic": "<1"}}
    pipeline = metricreg.build(spec)
    assert pipeline.to_spec() == spec
    v, labels = vectors(12).requires_grad_(), torch.arange(12) % 4
    results = []
    for plan in (Execution("dense"), Execution("tiled", tile=5)):
        value = pipeline.loss(v, labels, execution=plan)
        results.append((value.detach(), torch.autograd.grad(value, v)[0]))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].abs().sum() > 0


def test_points_are_not_clipped() -> None:
    with pytest.raises(SpecError, match="clip is for embeddings that are mapped"):
        PoincareDistance(mapped=False, clip=1.0)


@pytest.mark.parametrize("spread", [1e-2, 1e-4])
@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=5)])
def test_near_points_keep_their_digits(spread: float, plan: Execution) -> None:
    labels = torch.arange(24) % 6
    exact = (vectors(6, 0.4)[labels] + spread * vectors(24, 1.0, 1)).float()
    found = []
    for x in (exact.clone(), exact.double()):
        loss = metricreg.create("loss", "contrastive", distance=PoincareDistance())
        value = loss(x.requires_grad_(), labels, execution=plan)
        found.append((value.double(), *(g.double() for g in torch.autograd.grad(value, x))))
    for got, want in zip(*found, strict=True):
        assert (got - want).norm() <= 1e-2 * want.norm()
    assert (PoincareDistance()(exact) > 0).sum() == 24 * 23


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e-8])
def test_small_vectors_have_twice_their_euclidean_distance(size: float) -> None:
    v = (size * vectors(6)).float().requires_grad_()
    found = PoincareDistance()(v)
    wide = v.detach().double()
    wanted = 2.0 * (wide[:, None] - wide).norm(dim=2)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0.0)
    (gradient,) = torch.autograd.grad(found[0, 1], v)
    torch.testing.assert_close(gradient[0].double(), 4.0 * (wide[0] - wide[1]) / wanted[0, 1], rtol=1e-4, atol=1e-6)
