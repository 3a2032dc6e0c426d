"""The distances against pytorch-metric-learning in float32, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metricreg import Distance
from metricreg import distances as D
from tests.oracle import assert_close, value_and_gradients

pytest.importorskip("pytorch_metric_learning", minversion="2.9.0")
from pytorch_metric_learning import distances as pd

PAIRS: dict[str, tuple[Callable[[], Distance], Callable[[], Any]]] = {
    "lp": (D.LpDistance, pd.LpDistance),
    "lp p=1": (lambda: D.LpDistance(p=1), lambda: pd.LpDistance(p=1)),
    "lp p=3 power=2": (lambda: D.LpDistance(p=3, power=2), lambda: pd.LpDistance(p=3, power=2)),
    "lp squared": (lambda: D.LpDistance(power=2), lambda: pd.LpDistance(power=2)),
    "lp raw": (lambda: D.LpDistance(normalize=False), lambda: pd.LpDistance(normalize_embeddings=False)),
    "cosine": (D.CosineSimilarity, pd.CosineSimilarity),
    "cosine cubed": (lambda: D.CosineSimilarity(power=3), lambda: pd.CosineSimilarity(power=3)),
    "dot_product": (D.DotProductSimilarity, pd.DotProductSimilarity),
    "dot_product raw": (
        lambda: D.DotProductSimilarity(normalize=False),
        lambda: pd.DotProductSimilarity(normalize_embeddings=False),
    ),
    "snr": (D.SNRDistance, pd.SNRDistance),
    "snr raw": (lambda: D.SNRDistance(normalize=False), lambda: pd.SNRDistance(normalize_embeddings=False)),
}


@pytest.mark.parametrize("columns", [9, 40], ids=["few", "many"])
@pytest.mark.parametrize("name", PAIRS)
def test_agrees(name: str, columns: int) -> None:
    ours, theirs = PAIRS[name][0](), PAIRS[name][1]()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 6, generator=generator).requires_grad_()
    y = (torch.randn(columns, 6, generator=generator) + 0.5).requires_grad_()
    slope = torch.randn(12, columns, generator=generator)
    want, got = theirs(x, y), ours(x, y)
    assert_close([got.detach()], [want.detach()], 1e-5)
    assert_close(
        value_and_gradients((slope * got).sum(), [x, y])[1:],
        value_and_gradients((slope * want).sum(), [x, y])[1:],
        1e-5,
    )
    assert ours.is_inverted == theirs.is_inverted
