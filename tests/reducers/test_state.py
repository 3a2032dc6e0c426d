"""A reducer whose sums, or what it makes of their totals, are no pure functions is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Execution, MetricregError, Reducer, Term
from metricreg.losses import ContrastiveLoss, MultipleLosses
from metricreg.reducers import MultipleReducers, PerAnchorReducer
from metricreg.regularizers import LpRegularizer

X, LABELS = torch.randn(12, 6), torch.arange(12) % 4


class InPlace(Reducer):
    """Means over their running mean."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def statistics(self, term: Term) -> tuple[Tensor, Tensor]:
        return term.sum(), term.count()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        value = total / count.clamp(min=1)
        self.mean.mul_(0.9).add_(0.1 * value.detach())
        return value / self.mean


class Replaced(InPlace):
    """The same with another tensor each time."""

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        value = total / count.clamp(min=1)
        self.mean = 0.9 * self.mean + 0.1 * value
        return value / self.mean


class Counted(InPlace):
    """Counts what it is asked."""

    def statistics(self, term: Term) -> tuple[Tensor, Tensor]:
        self.mean += 1
        return term.sum(), term.count()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        return total / count.clamp(min=1)


class Whole(InPlace):
    """Sees the whole batch once."""

    def reduce(self, term: Term) -> Tensor:
        return super().finalize(*self.statistics(term))


def holders(reducer: Reducer) -> dict[str, Any]:
    return {
        "a loss": ContrastiveLoss(reducer=reducer),
        "several": ContrastiveLoss(reducer=MultipleReducers({"pos_loss": reducer})),
        "an anchor's": ContrastiveLoss(reducer=PerAnchorReducer(reducer)),
        "a loss inside": MultipleLosses([ContrastiveLoss(reducer=reducer)]),
        "a regularizer": ContrastiveLoss(embedding_regularizer=LpRegularizer(reducer=reducer)),
    }


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=5)], ids=["dense", "tiled"])
@pytest.mark.parametrize("holder", holders(InPlace()))
@pytest.mark.parametrize("reducer", [InPlace, Replaced, Counted])
def test_a_reducer_that_changes_its_state_is_refused(reducer: type[Reducer], holder: str, plan: Execution) -> None:
    x = X.clone().requires_grad_()
    with pytest.raises(
        MetricregError, match=r"reducer\S*mean in place|changes its buffer '\S*mean' in statistics or fin"
    ):
        holders(reducer())[holder](x, LABELS, execution=plan)


@pytest.mark.parametrize("holder", ["a loss", "a loss inside"])
def test_one_that_sees_the_whole_batch_once_may(holder: str) -> None:
    loss = holders(Whole())[holder]
    loss(X.clone().requires_grad_(), LABELS)
    assert any(float(buffer) != 1.0 for buffer in loss.buffers())
