"""The distances against pytorch-metric-learning in float32, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

SPECS: dict[str, dict[str, Any]] = {
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
@pytest.mark.parametrize("name", SPECS)
def test_agrees(name: str, columns: int) -> None:
    spec = SPECS[name]
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
