"""What is special about DynamicArcFaceLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg.losses import ArcFaceLoss, DynamicArcFaceLoss, SubCenterArcFaceLoss
from tests.losses.cases import dynamic_arcface
from tests.oracle import BALANCED, DIM, rows
from tests.reference.proxy_losses import class_margins


@pytest.mark.parametrize("power", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("bounds", [(2.86, 28.6), (0.0, 180.0), (10.0, 10.0)])
@pytest.mark.parametrize("counts", [[40, 3, 7, 12], [5, 5, 5], [1], [1, 10**9]])
def test_margins_fall_with_the_size_of_the_class_between_their_bounds(
    counts: list[int], bounds: tuple[float, float], power: float
) -> None:
    loss = DynamicArcFaceLoss(counts, DIM, margin_bounds=bounds, power=power)
    want = torch.tensor(class_margins(counts, bounds, power))
    torch.testing.assert_close(loss.margins.rad2deg(), want, rtol=1e-5, atol=1e-5)


def test_classes_of_one_size_and_one_center_are_arcface() -> None:
    torch.manual_seed(0)
    loss, plain = DynamicArcFaceLoss([5] * 4, DIM, sub_centers=1), ArcFaceLoss(4, DIM)
    plain.load_state_dict({"proxies": loss.proxies})
    x = rows(10, dtype=torch.float32)
    torch.testing.assert_close(loss(x, BALANCED), plain(x, BALANCED))


def test_finds_outliers_as_subcenter_arcface_does() -> None:
    loss, plain = dynamic_arcface(), SubCenterArcFaceLoss(4, DIM).double()
    plain.load_state_dict({"proxies": loss.proxies})
    assert loss.outliers(rows(10), BALANCED).tolist() == plain.outliers(rows(10), BALANCED).tolist()
