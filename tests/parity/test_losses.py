"""Losses that are called otherwise in pytorch-metric-learning, which random configurations leave out; see test_random.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pl
from torch import Tensor

from metricreg import Execution
from metricreg import losses as L
from tests import oracle
from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

SIZE = 8
rows = partial(oracle.rows, dtype=torch.float32, size=SIZE)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 2, 4, 0, 1, 2])
REF_LABELS = torch.tensor([1, 0, 3, 2, 2, 0, 1, 4, 4, 0])
PLANS = (Execution("dense"), Execution("tiled", tile=5))


def test_outliers_agree() -> None:
    torch.manual_seed(7)
    ours, theirs = L.SubCenterArcFaceLoss(5, SIZE), pl.SubCenterArcFaceLoss(num_classes=5, embedding_size=SIZE)
    theirs.W.data = ours.proxies.detach().T.clone()
    x = rows(len(LABELS), 0).detach()
    for threshold in (40, 75, 100):
        outliers, dominant = theirs.get_outliers(x, LABELS, threshold)
        assert ours.outliers(x, LABELS, threshold).tolist() == sorted(outliers.tolist())
        torch.testing.assert_close(ours.proxies[ours.dominant_centers(x, LABELS)], dominant.T)


@pytest.mark.parametrize("keywords", [{}, {"invariance_lambda": 3, "variance_mu": 0.5, "covariance_v": 9, "eps": 0.2}])
def test_vicreg_agrees(keywords: dict[str, Any]) -> None:
    x, y = rows(12, 0), rows(12, 1)
    want = value_and_gradients(pl.VICRegLoss(**keywords)(x, ref_emb=y), [x, y])
    for execution in PLANS:
        total = L.VICRegLoss(**keywords)(x, ref_embeddings=y, execution=execution)
        assert_close(value_and_gradients(total, [x, y]), want, 1e-5, execution.plan)


def of_constant_histogram(**keywords: Any) -> Any:
    """PML's dynamic soft margin loss, which lets gradients through its histogram; see test_differences.py."""
    loss = pl.DynamicSoftMarginLoss(**keywords)
    update = loss.update_histogram
    loss.update_histogram = lambda data: update(data.detach())
    return loss


@pytest.mark.parametrize("miner", [None, "triplet_margin", "multi_similarity"])
@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("num_bins", [10, 37])
def test_dynamic_soft_margin_agrees_in_its_first_step(num_bins: int, ref: bool, miner: str | None) -> None:
    x, y = rows(len(LABELS), 0), rows(len(REF_LABELS), 1)
    others = (y, REF_LABELS) if ref else (None, None)
    leaves = [x, y] if ref else [x]
    mined = in_pml("miner", miner)(x, LABELS, *others) if miner else None
    ours_mined = built("miner", {"name": miner})(x, LABELS, *others) if miner else None
    want = value_and_gradients(of_constant_histogram(num_bins=num_bins)(x, LABELS, mined, *others), leaves)
    keywords = {"ref_embeddings": y, "ref_labels": REF_LABELS} if ref else {}
    for execution in PLANS:
        loss = L.DynamicSoftMarginLoss(num_bins=num_bins)
        total = loss(x, LABELS, tuples=ours_mined, execution=execution, **keywords)
        assert_close(value_and_gradients(total, leaves), want, 1e-5, execution.plan)


def test_dynamic_soft_margin_agrees_in_later_steps_that_forget_the_first() -> None:
    ours, theirs = L.DynamicSoftMarginLoss(momentum=1.0), of_constant_histogram(momentum=1.0)
    for seed in range(3):
        x = rows(len(LABELS), seed)
        want = value_and_gradients(theirs(x, LABELS), [x])
        assert_close(value_and_gradients(ours(x, LABELS), [x]), want, 1e-5)


def test_dynamic_soft_margin_agrees_on_two_views_in_value() -> None:
    x, y = rows(12, 0).detach(), rows(12, 1).detach()
    want: Tensor = pl.DynamicSoftMarginLoss()(x, ref_emb=y)
    for execution in PLANS:
        torch.testing.assert_close(L.DynamicSoftMarginLoss()(x, ref_embeddings=y, execution=execution), want)


@pytest.mark.parametrize("parameters", [{}, {"lambda_c": 0.0}, {"lambda_c": 3.0, "alpha": 0.5, "margin": 0.1}])
def test_manifold_agrees(parameters: dict[str, float]) -> None:
    torch.manual_seed(7)
    ours, x = L.ManifoldLoss(SIZE, 5, **parameters), rows(len(LABELS), 0)
    renamed = {"lambdaC" if name == "lambda_c" else name: value for name, value in parameters.items()}
    theirs = pl.ManifoldLoss(SIZE, 5, **renamed)
    theirs.proxies.data = ours.proxies.detach().clone()
    want = value_and_gradients(theirs(x, indices_tuple=LABELS), [x, theirs.proxies])  # which it takes for proxies
    for execution in PLANS:
        got = value_and_gradients(ours(x, LABELS, execution=execution), [x, ours.proxies])
        assert_close(got, want, 1e-4, execution.plan)
