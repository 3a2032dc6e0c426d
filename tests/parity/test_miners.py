"""The miners against pytorch-metric-learning: the same tuples, in any order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytorch_metric_learning import miners as pm

from metricreg import Pairs
from metricreg import distances as D
from metricreg import miners as M
from tests.oracle import entries
from tests.parity.counterparts import built, in_pml

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 2, 4, 0, 1, 2])
REF_LABELS = torch.tensor([1, 0, 3, 2, 2, 0, 1, 4, 4, 0])

STRATEGIES = ("all", "easy", "hard", "semihard")
SPECS: dict[str, dict[str, Any]] = {
    "multi_similarity": {},
    "multi_similarity epsilon": {"epsilon": 0.4},
    "batch_hard": {},
    **{f"triplet_margin {kind}": {"margin": 0.3, "type_of_triplets": kind} for kind in STRATEGIES},
    "pair_margin": {},
    "pair_margin wide": {"pos_margin": 0.9, "neg_margin": 1.2},
    "hdc all": {"filter_percentage": 1.0},
    "batch_easy_hard in ranges": {
        "pos_strategy": "easy",
        "neg_strategy": "semihard",
        "allowed_pos_range": [0.1, 1.6],
        "allowed_neg_range": [0.2, 1.5],
    },
    **{
        f"batch_easy_hard {pos} {neg}": {"pos_strategy": pos, "neg_strategy": neg}
        for pos in STRATEGIES
        for neg in STRATEGIES
        if "semihard" not in (pos, neg) or {pos, neg} & {"easy", "hard"}
    },
}
"""Parameters of miners; the first word is the name."""


@pytest.mark.checks("PML", "miner")
@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("distance", ["lp", "cosine"])
@pytest.mark.parametrize("name", SPECS)
def test_finds_the_same_tuples(name: str, distance: str, ref: bool) -> None:
    spec = {"name": name.split()[0], **SPECS[name], "distance": distance}
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(len(LABELS), 6, generator=generator), torch.randn(len(REF_LABELS), 6, generator=generator)
    others = (y, REF_LABELS) if ref else ()
    got, want = built("miner", spec)(x, LABELS, *others), in_pml("miner", spec)(x, LABELS, *others)
    if isinstance(got, Pairs):
        columns = got.columns()
        assert entries(columns[:2]) == entries(want[:2])
        assert entries(columns[2:]) == entries(want[2:])
    else:
        assert entries(got.columns()) == entries(want)
        assert len(want[0]) > 0


def test_hdc_keeps_pairs_as_hard() -> None:
    x = torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(3))
    d = D.LpDistance()(x)
    for share in (0.1, 0.5):
        got, want = M.HDCMiner(share)(x, LABELS).columns(), pm.HDCMiner(share)(x, LABELS)
        for i in (0, 2):  # which of d(a, b) and d(b, a) is kept is open in both
            ours, theirs = d[got[i], got[i + 1]], d[want[i], want[i + 1]]
            torch.testing.assert_close(ours.sort().values, theirs.sort().values)


def test_uniform_histogram_draws_from_the_same_bins() -> None:
    x = torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(3))
    d = D.LpDistance()(x)
    torch.manual_seed(0)
    got = M.UniformHistogramMiner(8, 300, 400)(x, LABELS).columns()
    want = pm.UniformHistogramMiner(8, 300, 400)(x, LABELS)
    for i in (0, 2):
        ours, theirs = ({*zip(c[i].tolist(), c[i + 1].tolist(), strict=True)} for c in (got, want))
        assert len(got[i]) == len(want[i])
        assert ours == theirs  # so many draws meet every pair
        assert abs(float(d[got[i], got[i + 1]].mean() - d[want[i], want[i + 1]].mean())) < 0.02


def test_distance_weighted_draws_negatives_as_often() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 6, generator=generator)
    x = torch.cat([x[:1].expand(60, -1), x[:1] + x[1:]])  # one anchor, many times, so that it draws often
    labels = torch.tensor([0] * 60 + [1, 2, 3, 4, 5])
    torch.manual_seed(0)
    ours = M.DistanceWeightedMiner()(x, labels).columns()[2].bincount(minlength=65)
    theirs = pm.DistanceWeightedMiner()(x, labels)[2].bincount(minlength=65)
    assert int((ours > 0).sum()) > 2
    torch.testing.assert_close(ours / ours.sum(), theirs / theirs.sum(), rtol=0, atol=0.04)


@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
def test_angular_keeps_the_same_triplets_of_unit_embeddings(ref: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(len(LABELS), 6, generator=generator), torch.randn(len(REF_LABELS), 6, generator=generator)
    x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    others = (y, REF_LABELS) if ref else ()
    for angle in (20.0, 35.0, 50.0):
        want = entries(pm.AngularMiner(angle)(x, LABELS, *others))
        assert entries(M.AngularMiner(angle)(x, LABELS, *others).columns()) == want
        assert want
