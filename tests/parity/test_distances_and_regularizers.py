"""The distances and the regularizers against pytorch-metric-learning in float32, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

DISTANCES: dict[str, dict[str, Any]] = {
    "lp": {"name": "lp"},
    "lp p=1": {"name": "lp", "p": 1},
    "lp p=3 power=2": {"name": "lp", "p": 3, "power": 2},
    "lp squared": {"name": "lp", "power": 2},
    "lp raw": {"name": "lp", "normalize": False},
    "cosine": {"name": "cosine"},
    "cosine cubed": {"name": "cosine", "power": 3},
    "dot_product": {"name": "dot_product"},
    "dot_product raw": {"name": "dot_product", "normalize": False},
    "snr": {"name": "snr"},
    "snr raw": {"name": "snr", "normalize": False},
}


@pytest.mark.checks("PML", "distance")
@pytest.mark.parametrize("columns", [9, 40], ids=["few", "many"])
@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_agrees(name: str, columns: int) -> None:
    spec = DISTANCES[name]
    ours, other = built("distance", spec), in_pml("distance", spec)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 6, generator=generator).requires_grad_()
    y = (torch.randn(columns, 6, generator=generator) + 0.5).requires_grad_()
    slope = torch.randn(12, columns, generator=generator)
    want, got = other(x, y), ours(x, y)
    assert_close([got.detach()], [want.detach()], 1e-5)
    assert_close(
        value_and_gradients((slope * got).sum(), [x, y])[1:],
        value_and_gradients((slope * want).sum(), [x, y])[1:],
        1e-5,
    )
    assert ours.is_inverted == other.is_inverted


REGULARIZERS: dict[str, dict[str, Any]] = {
    "center_invariant": {"name": "center_invariant"},
    "lp": {"name": "lp"},
    "lp p=1 power=2": {"name": "lp", "p": 1, "power": 2},
    "regular_face": {"name": "regular_face"},
    "regular_face of products": {"name": "regular_face", "distance": {"name": "dot_product", "normalize": False}},
    "sparse_centers": {"name": "sparse_centers", "num_classes": 4, "centers_per_class": 3},
    "zero_mean": {"name": "zero_mean"},
    "zero_mean with threshold": {"name": "zero_mean", "reducer": {"name": "threshold", "low": 0.5}},
}


@pytest.mark.checks("PML", "regularizer")
@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_regularizer_agrees(name: str) -> None:
    weights = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = built("regularizer", REGULARIZERS[name])
    want = value_and_gradients(in_pml("regularizer", REGULARIZERS[name])(weights), [weights])
    assert_close(value_and_gradients(ours(weights), [weights]), want, 1e-5)
