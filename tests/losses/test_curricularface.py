"""What is special about CurricularFaceLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Batch, Execution
from metricreg.losses import CurricularFaceLoss
from metricreg.reducers import DoNothingReducer
from tests.oracle import DIM, FEW_PLANS, assert_close, batch, proxy_loss, rows, value_and_gradients
from tests.reference.distances import dot_product_measure
from tests.reference.proxy_losses import curricularface


def loss_of(**parameters: Any) -> CurricularFaceLoss:
    torch.manual_seed(0)
    return CurricularFaceLoss(num_classes=4, embedding_size=DIM, **parameters).double().eval()


@pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
def test_t_follows_the_mean_cosine_of_the_own_class_from_step_to_step(plan: Execution) -> None:
    loss, t = loss_of(momentum=0.25).train(), 0.0
    for seed, labels in enumerate(([0, 1, 2, 3, 0], [2, 2, 1], [0, 3, 3, 1, 1, 1, 2])):
        case = batch(labels, seed)
        leaves = [case.x, loss.proxies]
        want = value_and_gradients(proxy_loss(curricularface, loss.proxies, t=t)(case), leaves)
        assert_close(value_and_gradients(loss(case.x, case.labels, execution=plan), leaves), want, 1e-10)
        own = [
            float(dot_product_measure().of(a, loss.proxies[y]).detach()) for a, y in zip(case.x, labels, strict=True)
        ]
        t += 0.25 * (sum(own) / len(own) - t)
        assert float(loss.t) == pytest.approx(t)
    assert t != 0.0


def test_t_stays_in_evaluation_on_an_empty_batch_and_where_there_is_nan() -> None:
    loss = loss_of()
    loss(rows(4), [0, 1, 2, 3])
    assert loss.t == 0.0
    loss.train()
    loss(rows(0), [])
    assert loss(rows(1) * torch.nan, [0]).isnan()
    assert loss.t == 0.0
    loss(rows(4), [0, 1, 2, 3])
    assert loss.t != 0.0


def test_what_the_running_mean_is_made_of_adds_nothing_to_the_loss() -> None:
    terms = loss_of(reducer=DoNothingReducer())(rows(4), [0, 1, 2, 3])
    assert set(terms) == {"loss"}
    assert set(loss_of().all_terms(Batch.of(rows(4), [0, 1, 2, 3]))) == {"loss"}
    total = loss_of()(rows(4), [0, 1, 2, 3])
    torch.testing.assert_close(terms["loss"].values.mean(), total)
