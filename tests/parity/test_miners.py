"""The miners against pytorch-metric-learning: the same tuples, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Miner, Pairs
from metricreg import distances as D
from metricreg import miners as M

pytest.importorskip("pytorch_metric_learning", minversion="2.9.0")
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import miners as pm

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 2, 4, 0, 1, 2])
REF_LABELS = torch.tensor([1, 0, 3, 2, 2, 0, 1, 4, 4, 0])

PAIRS: dict[str, tuple[Callable[..., Miner], Callable[..., Any]]] = {
    "multi_similarity": (M.MultiSimilarityMiner, pm.MultiSimilarityMiner),
    "multi_similarity epsilon": (
        lambda **slots: M.MultiSimilarityMiner(epsilon=0.4, **slots),
        lambda **slots: pm.MultiSimilarityMiner(epsilon=0.4, **slots),
    ),
    "batch_hard": (M.BatchHardMiner, pm.BatchHardMiner),
} | {
    f"triplet_margin {kind}": (
        lambda kind=kind, **slots: M.TripletMarginMiner(margin=0.3, type_of_triplets=kind, **slots),
        lambda kind=kind, **slots: pm.TripletMarginMiner(margin=0.3, type_of_triplets=kind, **slots),
    )
    for kind in ("all", "hard", "semihard", "easy")
}


def listed(columns: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("distance", ["default", "lp", "cosine", "snr"])
@pytest.mark.parametrize("name", PAIRS)
def test_finds_the_same_tuples(name: str, distance: str, ref: bool) -> None:
    ours, theirs = PAIRS[name]
    d = {"lp": D.LpDistance, "cosine": D.CosineSimilarity, "snr": D.SNRDistance}.get(distance)
    p = {"lp": pd.LpDistance, "cosine": pd.CosineSimilarity, "snr": pd.SNRDistance}.get(distance)
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(len(LABELS), 6, generator=generator), torch.randn(len(REF_LABELS), 6, generator=generator)
    others = (y, REF_LABELS) if ref else ()
    got = (ours(distance=d()) if d else ours())(x, LABELS, *others)
    want = (theirs(distance=p()) if p else theirs())(x, LABELS, *others)
    if isinstance(got, Pairs):
        columns = got.columns()
        assert listed(columns[:2]) == listed(want[:2])
        assert listed(columns[2:]) == listed(want[2:])
    else:
        assert listed(got.columns()) == listed(want)
        assert len(want[0]) > 0
