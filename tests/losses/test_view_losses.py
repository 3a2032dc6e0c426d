"""What every loss on two views of the same things does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Execution, Loss
from metricreg.errors import InputError
from tests.largest_tensor import LargestTensor
from tests.oracle import (
    BALANCED,
    FEW_PLANS,
    VIEW_LOSSES,
    VIEWS,
    assert_close,
    rows,
    value_and_gradients,
    with_references,
)

every_loss = pytest.mark.parametrize("name", VIEW_LOSSES)
plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
DENSE, TILED = Execution("dense"), Execution("tiled", tile=3)


def views(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return rows(10, 1, dtype).detach().requires_grad_(), rows(10, 2, dtype).detach().requires_grad_()


def found(loss: Loss, x: Tensor, y: Tensor, **keywords: Any) -> list[Tensor]:
    return value_and_gradients(loss(x, ref_embeddings=y, **keywords), [x, y])


@every_loss
def test_needs_two_views(name: str) -> None:
    x = rows(4)
    with pytest.raises(InputError, match="two views of the same things: give ref_embeddings"):
        VIEW_LOSSES[name]()(x)
    with pytest.raises(InputError, match="there are 4 and 3"):
        VIEW_LOSSES[name]()(x, ref_embeddings=rows(3, 1))
    for tuples in (([0], [1], [2]), ([0], [1], [0], [2])):
        with pytest.raises(InputError, match="takes no tuples and no miner"):
            VIEW_LOSSES[name]()(x, ref_embeddings=rows(4, 1), tuples=tuples)


@every_loss
@plans
def test_labels_are_not_looked_at(name: str, plan: Execution) -> None:
    x, y = views()
    loss = VIEW_LOSSES[name]()
    want = loss(x, ref_embeddings=y, execution=plan)
    torch.testing.assert_close(loss(x, BALANCED, ref_embeddings=y, ref_labels=range(10)[::-1], execution=plan), want)


@every_loss
def test_the_order_of_the_rows_does_not_matter_and_which_belong_together_does(name: str) -> None:
    (x, y), loss, order = views(), VIEW_LOSSES[name](), torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    want = loss(x, ref_embeddings=y)
    torch.testing.assert_close(loss(x[order], ref_embeddings=y[order]), want)
    assert abs(float((loss(x, ref_embeddings=y[order]) - want).detach())) > 1e-3


@every_loss
@plans
def test_a_nan_in_the_second_view_is_not_hidden(name: str, plan: Execution) -> None:
    x, y = (view.detach() for view in views())
    y[3, 1] = torch.nan
    assert VIEW_LOSSES[name]()(x, ref_embeddings=y, execution=plan).isnan()


@every_loss
@plans
@pytest.mark.parametrize("frozen", [(True, False), (False, True), (True, True)])
def test_a_frozen_view_gets_no_gradient_and_changes_none(name: str, plan: Execution, frozen: tuple[bool, bool]) -> None:
    both, loss = views(), VIEW_LOSSES[name]()
    want = found(loss, *both, execution=plan)
    held = [view.detach() if stop else view for view, stop in zip(both, frozen, strict=True)]
    total = loss(held[0], ref_embeddings=held[1], execution=plan)
    assert total.requires_grad is not all(frozen)
    got = value_and_gradients(total, [view for view in held if view.requires_grad])
    assert_close(got, [want[0], *(w for w, stop in zip(want[1:], frozen, strict=True) if not stop)], 1e-12)


@every_loss
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("scenario", VIEWS)
@plans
def test_no_step_of_a_backward_pass_makes_a_nan(name: str, scenario: str, plan: Execution) -> None:
    case = VIEWS[scenario]()
    with torch.autograd.detect_anomaly():
        VIEW_LOSSES[name]()(case.x, ref_embeddings=case.ref, execution=plan).backward()


@every_loss
def test_infinite_embeddings_are_not_taken_for_a_finite_loss(name: str) -> None:
    x, y = (view.detach() for view in views())
    x[0, 0] = torch.inf
    assert not VIEW_LOSSES[name]()(x, ref_embeddings=y).isfinite()


@every_loss
def test_no_tensor_has_a_value_for_each_pair_of_rows(name: str) -> None:
    case = with_references(list(range(64)), list(range(64)))
    for plan in (DENSE, TILED):
        with LargestTensor() as largest:
            VIEW_LOSSES[name]()(case.x, ref_embeddings=case.ref, execution=plan).backward()
        assert largest.numel <= case.x.numel()
