"""What a miner selects does not depend on how many ranks there are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg.miners import DistanceWeightedMiner, MultiSimilarityMiner
from metricreg.testing.processes import processes
from tests.checks import shipped
from tests.distributed.calls import mined, selected

NUMBER = 600
"""Rows: two tiles, so that some of four ranks have none."""
SPECS: list[Any] = [
    *(name for name in shipped("miner") if name != "packaged_triplets"),
    {"name": "triplet_margin", "tuples_per_anchor": 2},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_select_the_tuples_of_one_process_and_draw_as_often(spec: Any, ranks: int) -> None:
    torch.manual_seed(5)
    want, following = selected(spec, NUMBER, slice(None))
    assert sum(map(len, want)) > 0
    found = processes(ranks).call(mined, spec, 5, NUMBER)
    for columns, _ in found:
        assert len(columns) == len(want)
        for got, column in zip(columns, want, strict=True):
            assert torch.equal(got, column)
    assert found[0][1] == following
    torch.manual_seed(6)
    assert found[1][1] == torch.rand(())  # of its own stream, which it goes on with


def test_a_miner_that_does_not_draw_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    x, labels = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5
    MultiSimilarityMiner()(x, labels)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_differ_from_step_to_step_and_from_tile_to_tile() -> None:
    miner = DistanceWeightedMiner()
    x = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)).repeat(1024, 1)
    x[::2] += torch.randn(512, 8, generator=torch.Generator().manual_seed(1))
    x[512:] = x[:512]
    labels = torch.arange(1024) % 8
    torch.manual_seed(0)
    first, second = miner(x, labels), miner(x, labels)
    assert not torch.equal(first.columns()[2], second.columns()[2])
    half = len(first.columns()[0]) // 2
    assert not torch.equal(first.columns()[2][:half], first.columns()[2][half : 2 * half])
