"""Euclidean distances of rows whose squares overflow or vanish, of rows hardly apart, and their second derivative."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricreg import Batch, Distance, Execution, create
from metricreg import distances as D
from metricreg.functional import euclidean
from metricreg.functional.euclidean import lengths

DIM = 6
DISTANCES: dict[str, Callable[[], Distance]] = {
    "lp": lambda: D.LpDistance(normalize=False),
    "lp p=1": lambda: D.LpDistance(p=1, normalize=False),
    "lp p=3": lambda: D.LpDistance(p=3, normalize=False),
    "lp p=4": lambda: D.LpDistance(p=4, normalize=False),
    "mahalanobis": lambda: D.MahalanobisDistance(DIM, rank=3),
}


def rows(count: int = 20, seed: int = 0) -> Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))


def wherever(x: Tensor, y: Tensor) -> dict[str, Callable[[Distance], Tensor]]:
    """Every way to ask for the distances of x to y, `[X, Y]`."""
    every = torch.arange(len(y)).expand(len(x), -1)
    return {
        "alone": lambda d: d(x, y),
        "of a batch": lambda d: d.between(Batch(x, y)),
        "few for each": lambda d: d._distances(x[:, None], y[every])[:, 0],
        "row by row": lambda d: torch.stack([d.pairwise(x, row.expand(len(x), -1)) for row in y], 1),
    }


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("size", [1e-25, 1e-22, 1e-15, 1e12, 1e19])
@pytest.mark.parametrize("name", DISTANCES)
def test_squares_neither_overflow_nor_vanish(
    name: str, size: float, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        monkeypatch.setattr(euclidean, "DIFFERENCES", 0)
    torch.manual_seed(0)
    distance, weight = DISTANCES[name](), rows(20, 2) @ rows(20, 3).T
    for other in (None, (size * rows(20, 1)).requires_grad_()):
        x = (size * rows()).requires_grad_()
        y = x if other is None else other
        wide = [t.detach().double().requires_grad_() for t in (x, y)]
        wanted = torch.cdist(*map(mapped(distance), wide), p=getattr(distance, "p", 2.0))
        gradients = torch.autograd.grad((wanted * weight).sum(), wide)
        for ask, make in wherever(x, y).items():
            found = make(distance)
            torch.testing.assert_close(
                found.double(), wanted, rtol=1e-5, atol=0.0, msg=lambda text, ask=ask: f"{ask}: {text}"
            )
            got = torch.autograd.grad((found * weight).sum(), [x] if other is None else [x, y])
            want = gradients if other is not None else (gradients[0] + gradients[1],)
            for g, w in zip(got, want, strict=True):
                torch.testing.assert_close(
                    g.double(), w, rtol=1e-3, atol=1e-4, msg=lambda text, ask=ask: f"{ask}: {text}"
                )


def mapped(distance: Distance) -> Callable[[Tensor], Tensor]:
    factor = getattr(distance, "factor", None)
    return lambda x: x if factor is None else x @ factor.double().T


@pytest.mark.parametrize("name", ["lp", "mahalanobis"])
def test_one_row_that_overflows_leaves_the_others_alone(name: str) -> None:
    torch.manual_seed(0)
    distance, x = DISTANCES[name](), rows()
    x[3] *= 1e20
    torch.testing.assert_close(distance(x), distance.double()(x.double()).float(), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("many", [False, True])
def test_rows_hardly_apart_in_a_large_batch_have_a_distance(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if many:
        monkeypatch.setattr(euclidean, "DIFFERENCES", 2000)  # of the pairs hardly apart, not of all near ones
    x = torch.nn.functional.normalize(rows(1)).repeat(64, 1) + 1e-3 * rows(64)
    x[1::8] = x[::8]
    x[1::8, 0] += 2.0**-26  # less than float64 makes of norms of 1
    x.requires_grad_()
    found = create("distance", "lp", normalize=False)(x)
    wanted = torch.cdist(x.detach().double(), x.detach().double(), compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=0.0)
    assert (found[torch.arange(0, 64, 8), torch.arange(1, 64, 8)] < 1e-7).all()
    (gradient,) = torch.autograd.grad(found[0, 1], x)
    torch.testing.assert_close(gradient[1, 0].abs(), torch.tensor(1.0))


@pytest.mark.parametrize("name", ["lp", "mahalanobis"])
def test_squared_distances_have_their_second_derivative_where_rows_are_equal(name: str) -> None:
    distance = D.LpDistance(normalize=False, power=2) if name == "lp" else D.MahalanobisDistance(DIM, power=2)
    x, y = rows().double().requires_grad_(), rows().double().requires_grad_()
    for ask, make in wherever(x, y).items():
        (gradient,) = torch.autograd.grad(make(distance).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient[0, 0], x)
        wanted = torch.zeros_like(second)
        wanted[0, 0] = 2.0 * len(y)
        torch.testing.assert_close(second, wanted, msg=lambda text, ask=ask: f"{ask}: {text}")


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", ["lp", "mahalanobis"])
def test_so_they_have_in_transforms(name: str) -> None:
    distance = D.LpDistance(normalize=False, power=2) if name == "lp" else D.MahalanobisDistance(DIM, power=2)
    x = rows().double()
    hessian = torch.func.hessian(lambda z: distance(z, x).sum())(x)
    torch.testing.assert_close(hessian[0, 0, 0], 2.0 * len(x) * torch.eye(DIM, dtype=x.dtype)[0])


def test_a_loss_of_squared_distances_has_its_second_derivative_where_rows_are_equal() -> None:
    loss = create("loss", "contrastive", distance=D.LpDistance(power=2, normalize=False), pos_margin=-1.0)
    x = rows(4).double()
    x[1] = x[0]
    found = torch.autograd.functional.hessian(lambda z: loss(z, [0, 0, 1, 2], execution=Execution("dense")), x)
    x[1] += 1e-6
    near = torch.autograd.functional.hessian(lambda z: loss(z, [0, 0, 1, 2], execution=Execution("dense")), x)
    torch.testing.assert_close(found, near, rtol=1e-4, atol=1e-4)
    assert float(found[0, 0, 1, 0].abs()) > 0.1


def test_lengths_of_rows_without_any_are_0_with_gradient_0() -> None:
    x = torch.zeros(3, DIM)
    x[1, 0] = 1e-30
    x.requires_grad_()
    found = lengths(x)
    assert found.tolist() == pytest.approx([0.0, 1e-30, 0.0])
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient[:, 0].tolist() == pytest.approx([0.0, 1.0, 0.0])
