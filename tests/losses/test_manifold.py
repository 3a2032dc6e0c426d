"""What is special about ManifoldLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import InputError
from metricreg.losses import ManifoldLoss
from tests.oracle import DIM, rows


def loss_of(**parameters: Any) -> ManifoldLoss:
    torch.manual_seed(0)
    return ManifoldLoss(**{"l": DIM, "K": 4} | parameters).double()


def test_classes_are_dealt_out_to_the_proxies_once_and_equally() -> None:
    loss, x = loss_of(num_classes=9, K=3), rows(9)
    dealt = loss.state_dict()["proxy_of_class"]
    assert dealt.bincount().tolist() == [3, 3, 3]
    assert dealt.tolist() != (torch.arange(9) % 3).tolist()
    total = loss(x, list(range(9)))
    plain = loss_of(K=3)
    plain.load_state_dict({"proxies": loss.proxies})
    torch.testing.assert_close(total, plain(x, dealt), rtol=1e-12, atol=0)
    other = ManifoldLoss(DIM, 3, num_classes=9)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.state_dict()["proxy_of_class"], dealt)


def test_without_labels_embeddings_are_dealt_out_in_every_step() -> None:
    loss, x = loss_of(), rows(10)
    torch.manual_seed(3)
    first, second = loss(x), loss(x)
    assert not torch.isclose(first, second)
    torch.manual_seed(3)
    own = torch.randperm(4)[torch.randperm(10) % 4]
    assert own.unique().tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(first, loss(x, own), rtol=1e-12, atol=0)
    few = loss(x[:2])
    assert few.isfinite()
    assert few > 0


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (rows(2), {"labels": [0, 4]}, "labels are 0 to 3; found 0 to 4"),
        (rows(2), {"labels": [-1, 0]}, "found -1 to 0"),
        (rows(2), {"labels": [0, 1], "ref_embeddings": rows(2), "ref_labels": [0, 1]}, "takes no ref_embeddings"),
        (torch.ones(2, DIM + 1), {"labels": [0, 1]}, "has l=5; the embeddings have 6 dimensions"),
    ],
)
def test_refuses_what_does_not_fit_its_proxies(x: torch.Tensor, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        loss_of()(x, **arguments)


def test_embeddings_at_their_own_proxies_cost_least() -> None:
    loss, x = loss_of(), torch.eye(DIM, dtype=torch.float64)[:4]
    with torch.no_grad():
        loss.proxies.copy_(x)
        totals = [float(loss(x, labels)) for labels in ([0, 1, 2, 3], [0, 1, 3, 2], [1, 2, 3, 0])]
    assert totals == sorted(totals)
    assert totals[0] == 0.0
