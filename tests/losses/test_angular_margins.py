"""Losses with an angle added to that of a class vector or a positive, where that is small: float32 beside float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metricreg import Execution, Loss
from metricreg import losses as L
from metricreg.components import proxy_softmax_loss
from metricreg.components.proxy_loss import ProxyLoss
from tests.oracle import PROXY_LOSSES

N, DIM, CLASSES = 24, 16, 4
LABELS = torch.arange(N) % CLASSES
PLANS = [Execution("dense"), Execution("tiled", tile=5)]
ANGLES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1)
SCALED: dict[str, Callable[..., Loss]] = {
    "arcface": L.ArcFaceLoss,
    "cosface": L.CosFaceLoss,
    "curricularface": L.CurricularFaceLoss,
    "adaface": L.AdaFaceLoss,
    "subcenter_arcface": L.SubCenterArcFaceLoss,
    "dynamic_arcface": lambda num_classes, **more: L.DynamicArcFaceLoss([3, 4, 5, 6], **more),
}
LOSSES: dict[str, Callable[..., Loss]] = {
    **{name: partial(make, scale=1.0) for name, make in SCALED.items()},
    **{f"{name} with its scale": make for name, make in SCALED.items()},
    "sphereface": L.SphereFaceLoss,
    "large_margin_softmax": L.LargeMarginSoftmaxLoss,
    "normalized_softmax": L.NormalizedSoftmaxLoss,
    "p2s_grad": L.P2SGradLoss,
    "proxy_anchor": L.ProxyAnchorLoss,
    "proxy_nca": L.ProxyNCALoss,
    "soft_triple": L.SoftTripleLoss,
}


def noise(seed: int, rows: int = N) -> Tensor:
    return torch.randn(rows, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def at_an_angle(rows: Tensor, angle: float) -> Tensor:
    """Rows at an angle to unit ones, three times as long."""
    across = noise(1, len(rows))
    across = normalize(across - (across * rows).sum(1, keepdim=True) * rows)
    return 3.0 * (rows + angle * across).float()


def results(make: Callable[[torch.dtype], tuple[Loss, Tensor]], plan: Execution) -> list[list[Tensor]]:
    found = []
    for dtype in (torch.float32, torch.float64):
        loss, x = make(dtype)
        x = x.to(dtype).requires_grad_()
        total = loss(x, LABELS, execution=plan)
        gradients = torch.autograd.grad(total, [x, *loss.parameters()])
        found.append([total.detach().double(), *(gradient.double() for gradient in gradients)])
    return found


def assert_same(found: list[Tensor], wanted: list[Tensor], angle: float) -> None:
    for got, want in zip(found, wanted, strict=True):
        assert (got - want).norm() <= (1e-3 + 2.0**-24 / angle) * want.norm()  # what the inputs resolve


def test_every_loss_with_class_vectors_is_here() -> None:
    assert {name.removesuffix(" with its scale") for name in LOSSES} == PROXY_LOSSES.keys()


@pytest.mark.parametrize("plan", PLANS, ids=["dense", "tiled"])
@pytest.mark.parametrize("side", [1.0, -1.0], ids=["near", "opposite"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_near_class_vectors_keep_their_digits(name: str, side: float, plan: Execution) -> None:
    for angle in ANGLES:

        def make(dtype: torch.dtype, angle: float = angle) -> tuple[Loss, Tensor]:
            torch.manual_seed(0)
            loss: Any = LOSSES[name](num_classes=CLASSES, embedding_size=DIM).eval()
            vectors = normalize(loss.proxies.detach().double())
            with torch.no_grad():
                loss.to(dtype).proxies.copy_(vectors.float().to(dtype))
            return loss, at_an_angle(side * vectors[LABELS * (len(vectors) // CLASSES)], angle)

        assert_same(*results(make, plan), angle)


@pytest.mark.parametrize("angle", ANGLES)
def test_so_do_those_whose_classes_are_looked_at_in_blocks(angle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_softmax_loss, "MANY_CLASSES", 1)
    monkeypatch.setattr(proxy_softmax_loss, "CLASS_BLOCK_VALUES", N)

    def make(dtype: torch.dtype) -> tuple[Loss, Tensor]:
        torch.manual_seed(0)
        loss: ProxyLoss = L.ArcFaceLoss(CLASSES, DIM, scale=1.0).to(dtype)
        vectors = normalize(loss.proxies.detach().double()).float()
        with torch.no_grad():
            loss.proxies.copy_(vectors.to(dtype))
        return loss, at_an_angle(vectors.double()[LABELS], angle)

    assert_same(*results(make, Execution("auto")), angle)


def test_the_nearest_of_centers_that_no_cosine_tells_apart_has_the_gradient() -> None:
    loss = L.SubCenterArcFaceLoss(2, 2, scale=1.0, sub_centers=2, margin=30.0)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 2e-4], [1.0, -1e-4], [0.0, 1.0], [0.0, -1.0]]))
    loss(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).backward()
    assert loss.proxies.grad is not None
    assert loss.proxies.grad[1].norm() > 10.0 * loss.proxies.grad[0].norm()


@pytest.mark.parametrize("plan", PLANS, ids=["dense", "tiled"])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("angle", ANGLES)
def test_tuplet_margin_of_near_positives_keeps_its_digits(angle: float, many: bool, plan: Execution) -> None:
    found = []
    classes = normalize(noise(0, 120 if many else 8))
    labels = torch.arange(3 * len(classes)) % len(classes)
    x = at_an_angle(classes[labels], angle)
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype).requires_grad_()
        total = L.TupletMarginLoss(scale=1.0)(leaf, labels, execution=plan)
        found.append([total.detach().double(), torch.autograd.grad(total, leaf)[0].double()])
    assert_same(*found, angle)
