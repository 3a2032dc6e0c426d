"""The regularizers against pytorch-metric-learning in float32, value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metricreg import Regularizer
from metricreg import distances as D
from metricreg import reducers as R
from metricreg import regularizers as G
from tests.oracle import assert_close, value_and_gradients

pytest.importorskip("pytorch_metric_learning", minversion="2.9.0")
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import reducers as pr
from pytorch_metric_learning import regularizers as pg

PAIRS: dict[str, tuple[Callable[[], Regularizer], Callable[[], Any]]] = {
    "center_invariant": (G.CenterInvariantRegularizer, pg.CenterInvariantRegularizer),
    "lp": (G.LpRegularizer, pg.LpRegularizer),
    "lp p=1 power=2": (lambda: G.LpRegularizer(p=1, power=2), lambda: pg.LpRegularizer(p=1, power=2)),
    "regular_face": (G.RegularFaceRegularizer, pg.RegularFaceRegularizer),
    "regular_face of products": (
        lambda: G.RegularFaceRegularizer(distance=D.DotProductSimilarity(normalize=False)),
        lambda: pg.RegularFaceRegularizer(distance=pd.DotProductSimilarity(normalize_embeddings=False)),
    ),
    "sparse_centers": (
        lambda: G.SparseCentersRegularizer(num_classes=4, centers_per_class=3),
        lambda: pg.SparseCentersRegularizer(num_classes=4, centers_per_class=3),
    ),
    "zero_mean": (G.ZeroMeanRegularizer, pg.ZeroMeanRegularizer),
    "zero_mean with threshold": (
        lambda: G.ZeroMeanRegularizer(reducer=R.ThresholdReducer(low=0.5)),
        lambda: pg.ZeroMeanRegularizer(reducer=pr.ThresholdReducer(low=0.5)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_agrees(name: str) -> None:
    ours, theirs = PAIRS[name]
    weights = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    want = value_and_gradients(theirs()(weights), [weights])
    assert_close(value_and_gradients(ours()(weights), [weights]), want, 1e-5)
