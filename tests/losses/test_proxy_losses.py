"""What every loss with class vectors does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Execution
from metricreg.components.proxy_loss import ProxyLoss
from metricreg.errors import InputError
from metricreg.regularizers import LpRegularizer
from tests.oracle import BALANCED, FEW_PLANS, PROXY_LOSSES, rows, value_and_gradients

plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
every_loss = pytest.mark.parametrize("name", PROXY_LOSSES)


def loss_of(name: str, **slots: Any) -> ProxyLoss:
    loss = PROXY_LOSSES[name](**slots)
    assert isinstance(loss, ProxyLoss)
    return loss


@every_loss
@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ([0, 4], {}, "labels are 0 to 3; found 0 to 4"),
        ([-1, 0], {}, "found -1 to 0"),
        (None, {}, "needs labels"),
        ([0, 1], {"ref_embeddings": rows(3), "ref_labels": [0, 1, 2]}, "takes no ref_embeddings"),
    ],
)
def test_refuses_what_has_no_proxy(name: str, labels: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        loss_of(name)(rows(2), labels, **changes)


@every_loss
def test_refuses_another_embedding_size(name: str) -> None:
    with pytest.raises(InputError, match="embedding_size 5; the embeddings have 3"):
        loss_of(name)(torch.zeros(2, 3), [0, 1])


@every_loss
@plans
def test_stays_finite_on_a_proxy_opposite_to_it_and_without_direction(name: str, plan: Execution) -> None:
    loss = loss_of(name)
    with torch.no_grad():
        loss.proxies[-1] = 0.0
    first, last = loss.proxies.detach()[0], loss.proxies.detach()[-2]
    x = torch.stack([first * 3.0, first * -2.0, last, last * 1e-30, first * 0.0]).requires_grad_()
    for labels in ([0, 0, 3, 3, 1], [3, 3, 0, 0, 3]):
        for part in value_and_gradients(loss(x, labels, execution=plan), [x, *loss.parameters()]):
            assert part.isfinite().all()


@pytest.mark.parametrize("name", [name for name in PROXY_LOSSES if name != "p2s_grad"])
def test_a_penalty_on_the_proxies_is_added_with_its_weight(name: str) -> None:
    regularizer, x = LpRegularizer(), rows(10, dtype=torch.float32)
    plain = loss_of(name)
    loss = loss_of(name, weight_regularizer=regularizer, weight_reg_weight=0.25)
    torch.testing.assert_close(loss(x, BALANCED), plain(x, BALANCED) + 0.25 * regularizer(plain.proxies))
