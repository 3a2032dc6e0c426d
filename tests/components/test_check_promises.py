"""What a component promises by deriving from Loss or Distance, and does not keep: found in the first tiled step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import Batch, Execution, MetricregError, Term
from metricreg.batch.terms import Scalar
from tests.oracle import rows

LABELS = torch.arange(24) % 6
TILED = Execution("tiled", tile=5)


class Plain(metricreg.Loss):
    def terms(self, batch: Batch) -> dict[str, Any]:
        return {"loss": Term(self.changed(self.distance.between(batch)), batch.positives, kind="pos_pair")}

    def changed(self, d: Tensor) -> Tensor:
        return d


class WithDropout(Plain):
    def changed(self, d: Tensor) -> Tensor:
        return torch.nn.functional.dropout(d, 0.5, self.training)


class WithNoise(Plain):
    def changed(self, d: Tensor) -> Tensor:
        return d + torch.rand_like(d)


class Counting(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def changed(self, d: Tensor) -> Tensor:
        self.steps += 1.0
        return d


class CountingInto(Counting):
    def changed(self, d: Tensor) -> Tensor:
        self.steps += 1.0
        return d * self.steps


class InPlace(Plain):
    def terms(self, batch: Batch) -> dict[str, Any]:
        with torch.no_grad():
            batch.shared["half"].mul_(0.5)
        return super().terms(batch)

    def prepare(self, batch: Batch) -> Batch:
        return batch.replace(shared={"half": torch.ones(3)})


class ScaledAnchors(Plain):
    def terms(self, batch: Batch) -> dict[str, Any]:
        batch.anchors.data.mul_(1.0)
        with torch.no_grad():
            batch.anchors.mul_(0.5)
        return super().terms(batch)


class ClampedAnchors(Plain):
    def terms(self, batch: Batch) -> dict[str, Any]:
        batch.anchors.data.clamp_(-0.5, 0.5)  # again gives the same
        return super().terms(batch)


class OfMeans(Plain):
    def terms(self, batch: Batch) -> dict[str, Any]:
        d = self.distance.between(batch)
        return {"loss": Scalar((d.mean(),), lambda mean: mean)}


class MeanAsStatistic(metricreg.Reducer):
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return (term.sum() / term.count().clamp(min=1),)

    def finalize(self, *statistics: Tensor) -> Tensor:
        return statistics[0]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (WithDropout, "draws random numbers"),
        (WithNoise, "draws random numbers"),
        (Counting, "steps in place"),
        (CountingInto, "when asked again|in place"),
        (InPlace, "in place"),
        (ScaledAnchors, "in place|asked again"),
        (ClampedAnchors, "in place"),
        (OfMeans, "sums over anchors"),
    ],
)
def test_a_loss_that_is_not_pure_is_found(loss: type[Plain], message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises((MetricregError, RuntimeError), match=message):
        loss()(rows(24), LABELS, execution=TILED).backward()


class Lazy(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", None)
        self.known: dict[int, Tensor] = {}

    def terms(self, batch: Batch) -> dict[str, Any]:
        if self.weights is None:
            self.weights = torch.eye(batch.anchors.shape[1], dtype=batch.anchors.dtype)
        size = batch.anchors.shape[1]
        scale = self.known.setdefault(size, torch.ones(size, dtype=batch.anchors.dtype))
        d = self.distance(batch.anchors @ self.weights * scale, batch.references @ self.weights * scale)
        return {"loss": Term(d, batch.positives, kind="pos_pair")}


def test_what_a_loss_makes_when_it_is_first_asked_has_the_type_of_the_batch() -> None:
    loss, x = Lazy(), rows(24).detach().float()
    value = loss(x, LABELS, execution=TILED)
    assert value.dtype is loss.weights.dtype is loss.known[x.shape[1]].dtype is torch.float32
    torch.testing.assert_close(value, Lazy()(x, LABELS, execution=Execution("dense")))


def test_a_reducer_whose_statistics_are_no_sums_is_found() -> None:
    with pytest.raises(MetricregError, match="divide in finalize"):
        Plain(reducer=MeanAsStatistic())(rows(24), LABELS, execution=TILED)


def test_a_loss_is_looked_at_again_when_it_begins_to_train() -> None:
    loss = WithDropout().eval()
    loss(rows(24), LABELS, execution=TILED)
    with pytest.raises(MetricregError, match="draws random numbers"):
        loss.train()(rows(24), LABELS, execution=TILED)


def test_looking_leaves_random_numbers_as_they_are() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    Plain()(rows(24), LABELS, execution=TILED)
    torch.testing.assert_close(torch.rand(3), wanted)


def test_a_wrapper_that_forgets_its_value_is_named() -> None:
    class Forgetful(metricreg.WrapperLoss):
        def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
            return None  # type: ignore[return-value]

    with pytest.raises(MetricregError, match=r"Forgetful.evaluate returned NoneType"):
        Forgetful()(rows(24), LABELS)
