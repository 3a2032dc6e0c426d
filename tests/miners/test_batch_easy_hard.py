"""BatchEasyHardMiner: what it refuses, and triplets that are easy to see."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import SpecError
from metricreg.distances import LpDistance
from metricreg.miners import BatchEasyHardMiner
from tests.oracle import rows

LINE = torch.tensor([[0.0], [1.0], [4.0], [0.5], [2.0], [7.0]])
LABELS = [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("pos", "neg"), [("semihard", "semihard"), ("all", "semihard"), ("semihard", "all")])
def test_semihard_needs_one_pair_to_be_measured_against(pos: Any, neg: Any) -> None:
    with pytest.raises(SpecError, match=f"the other strategy is easy or hard; got pos_strategy='{pos}'"):
        BatchEasyHardMiner(pos_strategy=pos, neg_strategy=neg)
    spec = {"name": "batch_easy_hard", "pos_strategy": pos, "neg_strategy": neg}
    assert "semihard" in str(metricreg.validate({"loss": "contrastive", "miner": spec}))


@pytest.mark.parametrize("name", ["allowed_pos_range", "allowed_neg_range"])
def test_a_range_has_its_least_first(name: str) -> None:
    with pytest.raises(SpecError, match=rf"{name} is \(least, greatest\); got 0.5 > 0.1"):
        BatchEasyHardMiner(**{name: (0.5, 0.1)})  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=name):
        BatchEasyHardMiner(**{name: (0.5,)})  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="pos_strategy"):
        BatchEasyHardMiner(pos_strategy="hrad")  # type: ignore[arg-type]


def test_semihard_is_strictly_nearer_or_farther() -> None:
    x, labels = torch.tensor([[0.0], [1.0], [-1.0], [3.0]]), [0, 0, 1, 1]  # of the first: p at 1, n at 1 and at 3
    distance = LpDistance(normalize=False)
    a, _, _, n = BatchEasyHardMiner("easy", "semihard", distance=distance)(x, labels).columns()
    assert n[a == 0].tolist() == [3]
    a, p, _, _ = BatchEasyHardMiner("semihard", "hard", distance=distance)(x, labels).columns()
    assert p[a == 0].tolist() == []


def test_ranges_include_their_ends() -> None:
    miner = BatchEasyHardMiner("hard", "hard", (0.0, 1.0), (2.0, 7.0), distance=LpDistance(normalize=False))
    a, p, _, n = miner(LINE, LABELS).columns()
    assert (p[a == 0].tolist(), n[a == 0].tolist()) == ([1], [4])


def test_a_spec_gives_ranges_as_lists() -> None:
    spec = {"name": "batch_easy_hard", "allowed_neg_range": [0.2, 1]}
    pipeline = metricreg.build({"loss": "contrastive", "miner": spec})
    assert pipeline.to_spec()["miner"] == {"name": "batch_easy_hard", "allowed_neg_range": [0.2, 1.0]}
    assert pipeline(rows(6), LABELS).isfinite()
