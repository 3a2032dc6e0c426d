"""`logits` and `predict`: what a loss with class vectors puts into its softmax, without margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import InputError, create, default_registry
from metricreg.components.proxy_loss import ProxyLoss
from tests.examples import component
from tests.oracle import rows

CLASSES, SIZE = 4, 5
WITH_PROXIES = [n for n in default_registry().names("loss") if issubclass(default_registry().get("loss", n), ProxyLoss)]
"""Those of plugins, too, if any are installed."""


def unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def cosines(x: Tensor, w: Tensor) -> Tensor:
    return unit(x) @ unit(w).T


def nearest(x: Tensor, w: Tensor, k: int) -> Tensor:
    return cosines(x, w).view(len(x), -1, k).amax(2)


def soft_nearest(x: Tensor, w: Tensor, k: int) -> Tensor:
    s = cosines(x, w).view(len(x), -1, k)
    return 20.0 * ((s / 0.1).softmax(2) * s).sum(2)


def by_hand() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    return {
        **{name: lambda x, w: 64.0 * cosines(x, w) for name in ("arcface", "cosface", "adaface", "curricularface")},
        "subcenter_arcface": lambda x, w: 64.0 * nearest(x, w, 3),
        "dynamic_arcface": lambda x, w: 64.0 * nearest(x, w, 3),
        "sphereface": lambda x, w: x.norm(dim=1, keepdim=True) * cosines(x, w),
        "large_margin_softmax": lambda x, w: x @ w.T,
        "normalized_softmax": lambda x, w: cosines(x, w) / 0.05,
        "proxy_nca": lambda x, w: -(torch.cdist(unit(x), unit(w)) ** 2),
        "proxy_anchor": cosines,
        "p2s_grad": cosines,
        "soft_triple": lambda x, w: soft_nearest(x, w, 10),
    }


def loss_of(name: str) -> Any:
    torch.manual_seed(0)
    counted: dict[str, Any] = {"class_counts": [9] * CLASSES} if name == "dynamic_arcface" else {"num_classes": CLASSES}
    return create("loss", name, embedding_size=SIZE, **counted).double()


@pytest.mark.parametrize("name", WITH_PROXIES)
def test_logits_are_those_of_the_formula(name: str) -> None:
    loss, x = loss_of(name), rows(7).detach()
    w = loss.proxies.detach()
    torch.testing.assert_close(loss.logits(x).detach(), by_hand()[name](x, w))
    assert loss.predict(x).tolist() == loss.logits(x).argmax(1).tolist()


@pytest.mark.parametrize("name", ["arcface", "cosface", "subcenter_arcface", "large_margin_softmax", "soft_triple"])
def test_without_a_margin_the_loss_is_their_cross_entropy(name: str) -> None:
    torch.manual_seed(0)
    none = 1 if name == "large_margin_softmax" else 0
    loss = create("loss", name, num_classes=CLASSES, embedding_size=SIZE, margin=none).double()
    x, labels = rows(7), torch.arange(7) % CLASSES
    torch.testing.assert_close(loss(x, labels), torch.nn.functional.cross_entropy(loss.logits(x), labels))


def test_they_have_gradients_and_take_half_precision() -> None:
    loss = loss_of("arcface").float()
    assert loss.logits(rows(3).detach().half()).dtype is torch.float32
    loss.logits(rows(3).float()).sum().backward()
    assert loss.proxies.grad is not None


@pytest.mark.parametrize("name", [n for n in default_registry().names("loss") if n not in (*WITH_PROXIES, "multiple")])
def test_others_refuse_and_name_those_that_have_them(name: str) -> None:
    with pytest.raises(InputError, match=r"no class vectors.*arcface.*soft_triple"):
        component("loss", name).logits(rows(3))


def test_multiple_is_asked_by_part() -> None:
    parts = {"classes": {"name": "arcface", "num_classes": CLASSES, "embedding_size": SIZE}, "pairs": "contrastive"}
    objective = metricreg.build({"loss": {"name": "multiple", "losses": parts}})
    x = rows(3).detach().float()
    torch.testing.assert_close(objective.logits(x, part="classes"), objective.loss.losses["classes"].logits(x))
    assert objective.predict(x, part="classes").shape == (3,)
    in_a_list = metricreg.build({"loss": {"name": "multiple", "losses": list(parts.values())}})
    torch.testing.assert_close(in_a_list.logits(x, part=0), in_a_list.logits(x, part="0"))
    for part in (None, "other"):
        with pytest.raises(InputError, match="classes, pairs"):
            objective.logits(x, part=part)
    with pytest.raises(InputError, match="no class vectors"):
        objective.logits(x, part="pairs")


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="embedding_size 5"):
        loss_of("proxy_nca").logits(rows(3)[:, :4])


@pytest.mark.parametrize("given", [[[1.0, 2.0]], np.ones((2, SIZE)), None])
def test_what_is_no_tensor_is_refused(given: Any) -> None:
    objective = metricreg.build({"loss": {"name": "arcface", "num_classes": CLASSES, "embedding_size": SIZE}})
    with pytest.raises(InputError, match="embeddings must be a torch tensor"):
        objective.logits(given)
