"""Penalties whose value is known without a loop, those of Keras' documentation among them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import Regularizer, SpecError
from metricreg.regularizers import (
    L1L2Regularizer,
    L1Regularizer,
    L2Regularizer,
    OrthogonalRegularizer,
    SphericalEmbeddingRegularizer,
)
from tests.oracle import value_and_gradients

ONES = torch.ones(5, 5)
CORNER = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, -2.0]])  # cosines of rows 0.6, -0.8, 0


@pytest.mark.parametrize(
    ("regularizer", "x", "value"),
    [
        (L1Regularizer(), ONES, 0.25),
        (L1Regularizer(l1=2), -ONES, 50.0),
        (L2Regularizer(), ONES, 0.25),
        (L2Regularizer(l2=2.0), ONES, 50.0),
        (L2Regularizer(), 2 * ONES, 1.0),
        (L1L2Regularizer(), 2 * ONES, 0.5 + 1.0),
        (L1L2Regularizer(l1=0.0, l2=2.0), ONES, 50.0),
        (OrthogonalRegularizer(factor=0.1), ONES, 0.1),
        (OrthogonalRegularizer(factor=3.0), CORNER, 0.6 + 0.8),
        (OrthogonalRegularizer(factor=1.0, mode="columns"), CORNER, 12 / math.sqrt(10 * 20)),
        (OrthogonalRegularizer(), torch.eye(4), 0.0),
        (OrthogonalRegularizer(), torch.ones(1, 3), 0.0),
        (OrthogonalRegularizer(mode="columns"), torch.ones(3, 1), 0.0),
        (
            SphericalEmbeddingRegularizer(),
            torch.tensor([[3.0, 4.0], [0.0, 1.0], [-3.0, 0.0]]),
            8 / 3,
        ),  # lengths 5, 1, 3
        (SphericalEmbeddingRegularizer(), 7 * torch.eye(4), 0.0),
    ],
    ids=repr,
)
def test_the_value_is_known(regularizer: Regularizer, x: Tensor, value: float) -> None:
    assert float(regularizer(x)) == pytest.approx(value)


def test_zeros_have_no_slope() -> None:
    for regularizer in (L1Regularizer(), L2Regularizer(), L1L2Regularizer()):
        w = torch.zeros(3, 2, requires_grad=True)
        assert [part.abs().max().item() for part in value_and_gradients(regularizer(w), [w])] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("l1", {"l1": -1}),
        ("l2", {"l2": "x"}),
        ("l1_l2", {"l2": -0.1}),
        ("orthogonal", {"mode": "row"}),
        ("l1", {"reducer": "sum"}),
        ("sparse_centers", {"num_classes": 3, "centers_per_class": 0}),
    ],
)
def test_wrong_parameters_are_refused(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        metricreg.create("regularizer", name, **bad)
