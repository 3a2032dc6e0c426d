"""What a rank computes, and what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg.testing.processes import processes
from tests.distributed.calls import largest_tensor, products

NUMBER = 512
SPECS: list[Any] = [
    {"loss": "contrastive"},
    {"loss": "ntxent"},
    {"loss": "triplet_margin"},
    {"loss": "lifted_structure"},
    {"loss": {"name": "contrastive", "distance": "snr"}},
    {"loss": {"name": "arcface", "num_classes": NUMBER // 4, "embedding_size": 16}},
]


@pytest.mark.parametrize("plan", ["auto", "tiled"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec["loss"]))
def test_a_rank_of_four_makes_little_more_than_a_quarter_of_the_products(spec: Any, plan: str) -> None:
    spec = spec | {"execution": {"plan": plan, "tile": 64 if plan == "tiled" else None}}
    one = products(spec | {"execution": {"plan": "tiled", "tile": 64}}, NUMBER)
    found = processes(4).call(products, spec, NUMBER)
    assert one > 0
    assert max(found) <= 1.3 * one / 4, (found, one / 4)


@pytest.mark.parametrize("loss", ["contrastive", "ntxent", "triplet_margin", "lifted_structure"])
def test_no_rank_holds_a_row_of_every_pair(loss: str) -> None:
    number = 600
    found = processes(4).call(largest_tensor, {"loss": loss, "execution": {"plan": "tiled", "tile": 20}}, number)
    assert max(found) < number * number // 4 // 2, found
