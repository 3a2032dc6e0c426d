"""What `commit` changes is for the next step; the backward pass of this one sees the state of its own."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import metricreg
from metricreg import Batch, Distance, Execution, Loss, MetricregError, Term
from metricreg.components.loss import Terms
from metricreg.losses import ContrastiveLoss, NTXentLoss
from metricreg.reducers import ClassWeightedReducer


class Decaying(Loss):
    """Two terms that carry gradient and read a buffer that every step halves, in place."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.tensor(0.5, dtype=torch.float64))

    def terms(self, batch: Batch) -> Terms:
        d = self.distance(batch.anchors, batch.references)
        return {
            "pos_loss": Term(d * d * self.level, batch.positives),
            "neg_loss": Term((1 - d * self.level).relu(), batch.negatives),
        }

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        self.level.mul_(0.5)


PLANS = [Execution("dense"), Execution("tiled", tile=1), Execution("tiled", tile=7)]


def two_steps(loss: Loss, execution: Execution) -> list[Tensor]:
    embeddings = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = [loss(embeddings, torch.arange(20) % 5, execution=execution) for _ in range(2)]
    sum(values).backward()  # both steps after both commits
    return [*(value.detach() for value in values), embeddings.grad]


@pytest.mark.parametrize("execution", PLANS[1:])
def test_a_step_differentiates_with_the_state_it_was_computed_with(execution: Execution) -> None:
    for found, expected in zip(two_steps(Decaying(), execution), two_steps(Decaying(), PLANS[0]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("execution", PLANS)
def test_state_moves_once_a_step_and_stays_moved_after_the_backward_pass(execution: Execution) -> None:
    loss = Decaying()
    two_steps(loss, execution)
    assert loss.level.item() == 0.125
    assert loss.state_dict()["level"].item() == 0.125


def test_a_loss_without_running_state_keeps_its_buffers_as_they_are() -> None:
    reducer = metricreg.reducers.ClassWeightedReducer([1.0, 2.0])
    before = reducer.weights
    metricreg.losses.ContrastiveLoss(reducer=reducer)(torch.randn(4, 2), [0, 0, 1, 1])
    assert reducer.weights is before


class Learned(Distance):
    """A distance with a parameter, which makes two terms carry its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y) * self.factor


def _data() -> tuple[Tensor, Tensor]:
    x = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    return x, torch.arange(12) % 3


@pytest.mark.parametrize("execution", PLANS)
@pytest.mark.parametrize("make", [ContrastiveLoss, NTXentLoss])
def test_functional_call_differentiates_what_it_was_given(make: Any, execution: Execution) -> None:
    x, labels = _data()
    pipeline = metricreg.Pipeline(make(distance=Learned()), execution=execution)
    given = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    total = torch.func.functional_call(pipeline, {"loss.distance.factor": given * 1.0}, (x, labels))
    got = torch.autograd.grad(total, [x, given])
    by_hand = make(distance=Learned())
    with torch.no_grad():
        by_hand.distance.factor.copy_(given)
    want = torch.autograd.grad(by_hand(x, labels, execution=PLANS[0]), [x, by_hand.distance.factor])
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("execution", PLANS)
@pytest.mark.parametrize("make", [ContrastiveLoss, NTXentLoss])
def test_a_hook_on_a_parameter_runs_once_on_the_whole_gradient(make: Any, execution: Execution) -> None:
    x, labels = _data()
    loss, calls = make(distance=Learned()), []
    (want,) = torch.autograd.grad(loss(x, labels, execution=PLANS[0]), [loss.distance.factor])
    loss.distance.factor.register_hook(lambda g: calls.append(g) or 2 * g)
    loss(x, labels, execution=execution).backward()
    torch.testing.assert_close(loss.distance.factor.grad, 2 * want)
    assert len(calls) == 1


def test_what_changes_in_place_before_the_backward_pass_is_refused() -> None:
    x, labels = _data()
    queue, queue_labels = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 3
    for changed in (queue, queue_labels, labels):
        total = ContrastiveLoss()(x, labels, ref_embeddings=queue, ref_labels=queue_labels, execution=PLANS[1])
        changed[:2] = changed[2:4].clone()
        with pytest.raises(MetricregError, match="clone what changes in place, such as a queue"):
            total.backward()
    reducer = ClassWeightedReducer([1.0, 2.0, 3.0])
    total = ContrastiveLoss(reducer=reducer)(x, labels, execution=PLANS[1])
    reducer.weights.mul_(2)
    with pytest.raises(MetricregError, match="clone what changes in place"):
        total.backward()


def test_one_output_is_differentiated_in_the_forward_pass_whatever_changes_then() -> None:
    x, labels = _data()
    queue = torch.randn(20, 4, dtype=torch.float64)
    arguments = {"ref_embeddings": queue, "ref_labels": torch.arange(20) % 3}
    (want,) = torch.autograd.grad(NTXentLoss()(x, labels, **arguments, execution=PLANS[0]), [x])
    total = NTXentLoss()(x, labels, **arguments, execution=PLANS[1])
    queue.zero_()
    torch.testing.assert_close(torch.autograd.grad(total, [x])[0], want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [ContrastiveLoss, NTXentLoss])
def test_a_loss_that_was_differentiated_keeps_nothing_alive(make: Any) -> None:
    x, labels = _data()
    queue = torch.randn(20, 4, dtype=torch.float64)
    watched = weakref.ref(queue)
    total = make()(x, labels, ref_embeddings=queue, ref_labels=torch.arange(20) % 3, execution=PLANS[1])
    del queue
    total.backward()
    gc.collect()
    assert watched() is None
    assert total.grad_fn is not None


@pytest.mark.parametrize("make", [ContrastiveLoss, NTXentLoss])
def test_inside_a_checkpoint_terms_run_as_often_as_outside(make: Any) -> None:
    class Counting(make):  # type: ignore[misc]
        calls = 0

        def terms(self, batch: Batch) -> Terms:
            type(self).calls += 1
            return super().terms(batch)

    x, labels = _data()
    loss = Counting()
    want = torch.autograd.grad(loss(x, labels, execution=PLANS[1]), [x])
    outside = Counting.calls
    Counting.calls = 0
    total = checkpoint(lambda z: loss(z, labels, execution=PLANS[1]), x, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(total, [x]), want, rtol=1e-12, atol=1e-14)
    assert Counting.calls <= 2 * outside


def test_threads_may_share_a_loss_with_parameters() -> None:
    x, labels = _data()
    loss = ContrastiveLoss(distance=Learned())
    want = torch.autograd.grad(loss(x, labels, execution=PLANS[0]), [x, loss.distance.factor])
    found: list[Any] = []

    def work() -> None:
        leaves = [x, loss.distance.factor]
        found.extend(torch.autograd.grad(loss(x, labels, execution=PLANS[1]), leaves) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    for got in found:
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)
