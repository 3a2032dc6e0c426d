"""The regularizers against pytorch-metric-learning in float32, value and gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

SPECS: dict[str, dict[str, Any]] = {
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
@pytest.mark.parametrize("name", SPECS)
def test_agrees(name: str) -> None:
    weights = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = built("regularizer", SPECS[name])
    want = value_and_gradients(in_pml("regularizer", SPECS[name])(weights), [weights])
    assert_close(value_and_gradients(ours(weights), [weights]), want, 1e-5)
