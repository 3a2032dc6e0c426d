"""What is special about SubCenterArcFaceLoss; its formula is in test_formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from metricreg.errors import InputError
from metricreg.losses import SubCenterArcFaceLoss
from tests.oracle import DIM
from tests.reference.distances import dot_product_measure

cosine = dot_product_measure().of


def loss_of(**parameters: Any) -> SubCenterArcFaceLoss:
    torch.manual_seed(0)
    return SubCenterArcFaceLoss(num_classes=4, embedding_size=DIM, **parameters).double()


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(60, DIM, generator=generator, dtype=torch.float64), torch.arange(60) % 3  # no sample of class 3


def angles_to(loss: SubCenterArcFaceLoss, x: torch.Tensor, label: int) -> list[list[float]]:
    k = loss.centers_per_class
    return [
        [math.degrees(math.acos(float(cosine(a, w)))) for w in loss.proxies.detach()[label * k : label * k + k]]
        for a in x
    ]


def test_the_dominant_center_is_nearest_to_most_samples_of_its_class() -> None:
    loss, (x, labels) = loss_of(), data()
    found = loss.dominant_centers(x, labels).tolist()
    for label in range(3):
        nearest = [min(range(3), key=row.__getitem__) for row in angles_to(loss, x[labels == label], label)]
        assert found[label] == 3 * label + max(range(3), key=nearest.count)
    assert found[3] == 9  # the first of a class without samples


@pytest.mark.parametrize("threshold", [0.0, 30.0, 75.0, 120.0, 180.0])
def test_outliers_are_beyond_an_angle_to_their_dominant_center(threshold: float) -> None:
    loss, (x, labels) = loss_of(), data()
    dominant = loss.dominant_centers(x, labels).tolist()
    far = [
        i
        for i, label in enumerate(labels.tolist())
        if angles_to(loss, x[i : i + 1], label)[0][dominant[label] - 3 * label] > threshold
    ]
    assert loss.outliers(x, labels, threshold).tolist() == far
    assert loss.outliers(x.float(), labels.tolist(), threshold).tolist() == far


def test_outliers_are_taught_from_noise() -> None:
    loss = SubCenterArcFaceLoss(num_classes=2, embedding_size=2, sub_centers=2)
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    x = torch.tensor([[2.0, 0.1], [0.1, 3.0], [1.0, 0.0], [0.9, 0.1], [-1.0, 0.2], [0.0, 0.0], [torch.nan, 1.0]])
    labels = [0, 0, 0, 0, 1, 1, 0]
    assert loss.dominant_centers(x, labels).tolist() == [0, 2]
    assert loss.outliers(x, labels).tolist() == [1, 5, 6]
    assert loss.outliers(torch.empty(0, 2), []).tolist() == []


def test_outliers_are_looked_for_among_classes_only() -> None:
    with pytest.raises(InputError, match="labels are 0 to 3; found 0 to 4"):
        loss_of().outliers(torch.zeros(2, DIM), [0, 4])
