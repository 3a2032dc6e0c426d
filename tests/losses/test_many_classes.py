"""Losses with very many classes, a block of them at a time: the same value and gradients as of all at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Execution, MetricregError, Pairs
from metricreg.components import proxy_softmax_loss as proxy_softmax
from metricreg.components.component import create
from tests.largest_tensor import LargestTensor
from tests.oracle import DIM, assert_close, rows, value_and_gradients

CLASSES = 13
LOSSES: dict[str, dict[str, Any]] = {
    "arcface": {},
    "cosface": {"margin": 0.2},
    "normalized_softmax": {},
    "proxy_nca": {"softmax_scale": 3.0},
}
LABELS = torch.tensor([0, 12, 3, 3, 4, 5, 7, 11])


@pytest.fixture(autouse=True, params=[8, 24, 40, 1000])  # logits: 1, 3, 5 and all classes
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_softmax, "MANY_CLASSES", 1)
    monkeypatch.setattr(proxy_softmax, "CLASS_BLOCK_VALUES", request.param)


def loss_of(name: str, **slots: Any) -> Any:
    torch.manual_seed(0)
    parameters = {"num_classes": CLASSES, "embedding_size": DIM} | LOSSES[name]
    return create("loss", name, **parameters, **slots).double()


def results(loss: Any, execution: Execution | None = None, **given: Any) -> list[torch.Tensor]:
    x = rows(8)
    return value_and_gradients(loss(x, LABELS, execution=execution, **given), [x, *loss.parameters()])


@pytest.mark.parametrize("name", LOSSES)
def test_blocks_are_as_all_classes_at_once(name: str) -> None:
    loss = loss_of(name)
    assert_close(results(loss), results(loss, Execution("dense")), 1e-12)


def test_tuples_weigh_the_anchors() -> None:
    loss, pairs = loss_of("cosface"), Pairs.of(*(torch.tensor(c) for c in ([2, 2, 1], [3, 3, 0], [0, 4], [1, 1])))
    assert_close(results(loss, tuples=pairs), results(loss, Execution("dense"), tuples=pairs), 1e-12)


def test_the_parameters_of_the_distance_get_their_gradient() -> None:
    loss = loss_of("proxy_nca", distance=create("distance", "mahalanobis", embedding_size=DIM).double())
    assert_close(results(loss), results(loss, Execution("dense")), 1e-12)


def test_reducers_without_statistics_get_the_losses() -> None:
    loss = loss_of("arcface", reducer=create("reducer", "do_nothing"))
    x = rows(8)
    found = [loss(x, LABELS, execution=plan)["loss"].values for plan in (None, Execution("dense"))]
    assert_close([found[0].detach()], [found[1].detach()], 1e-12)


@pytest.mark.parametrize("frozen", ["embeddings", "proxies", "both"])
def test_what_is_frozen_gets_no_gradient(frozen: str) -> None:
    loss = loss_of("arcface")
    loss.proxies.requires_grad_(frozen == "embeddings")
    x = rows(8).detach().requires_grad_(frozen == "proxies")
    value = loss(x, LABELS)
    assert_close([value.detach()], [loss(x, LABELS, execution=Execution("dense")).detach()], 1e-12)
    assert value.requires_grad is (frozen != "both")
    if frozen != "both":
        value.backward()
    assert (x.grad is not None) is (frozen == "proxies")
    assert (loss.proxies.grad is not None) is (frozen == "embeddings")


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(MetricregError, match="labels are 0 to 12"):
        loss_of("arcface")(rows(8), LABELS + 1)


def test_a_second_derivative_is_refused_by_name_and_there_where_it_is_dense() -> None:
    loss, x = loss_of("cosface"), rows(8)
    with pytest.raises(MetricregError, match="no second derivative; build with"):
        torch.autograd.grad(loss(x, LABELS), x, create_graph=True)
    (found,) = torch.autograd.grad(loss(x, LABELS, execution=Execution("dense")), x, create_graph=True)
    assert found.requires_grad


def test_one_class_costs_nothing() -> None:
    loss = create("loss", "arcface", num_classes=1, embedding_size=DIM).double()
    x = rows(8)
    assert_close(
        value_and_gradients(loss(x, torch.zeros(8, dtype=torch.long)), [x]),
        [torch.tensor(0.0), torch.zeros(8, DIM)],
        0.0,
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_not_hidden(value: float) -> None:
    loss, x = loss_of("arcface"), rows(8).detach()
    x[2, 1] = value
    assert loss(x, LABELS).isnan()


def test_only_the_gradient_has_the_size_of_all_class_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_softmax, "CLASS_BLOCK_VALUES", 8 * 50)
    loss = create("loss", "arcface", num_classes=5000, embedding_size=DIM).double()
    x = rows(8)
    with LargestTensor() as forward:
        value = loss(x, LABELS)
    assert forward.numel == 5000  # a label a class
    with LargestTensor() as backward:
        value.backward()
    assert backward.numel == loss.proxies.numel()
