"""Embeddings whose squares overflow: what is of directions stays what it is, and no pair is chosen that is not allowed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Execution, Pairs, create, default_registry
from tests.examples import example
from tests.oracle import rows

HUGE = (1e19, 1e30)
OF_LENGTHS = {"vicreg", "adaface", "large_margin_softmax", "sphereface"}
"""What these compute follows from the lengths of embeddings, too."""
LABELS = torch.arange(24) % 6
OWN_DISTANCE = {"angular", "distance_weighted", "packaged_triplets"}
"""These take no other distance."""
SLOTS = {"lp": {"normalize": False}, "dot_product": {}}


def of_directions(kind: str) -> list[str]:
    return [name for name in default_registry().names(kind) if name not in OF_LENGTHS]


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=3)], ids=["dense", "tiled"])
@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("name", of_directions("loss"))
def test_losses_of_directions_are_the_same(name: str, size: float, plan: Execution) -> None:
    ordinary = example(name).like(dtype=torch.float32)
    huge = ordinary.of(*(size * view.detach() for view in ordinary.views))
    (total, _), (want, _) = huge(plan), ordinary(plan)
    torch.testing.assert_close(total, want, rtol=1e-4, atol=1e-6)
    gradients, wanted = (torch.autograd.grad(value, one.x)[0] for value, one in ((total, huge), (want, ordinary)))
    torch.testing.assert_close(size * gradients, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", sorted({"large_margin_softmax", "sphereface"}))
def test_losses_of_lengths_have_a_value(name: str) -> None:
    ordinary = example(name).like(dtype=torch.float32)
    assert ordinary.of(1e19 * ordinary.x.detach())()[0].isfinite()


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=3)], ids=["dense", "tiled"])
@pytest.mark.parametrize("distance", ["lp", "mahalanobis"])
@pytest.mark.parametrize("name", ["contrastive", "triplet_margin", "margin", "ntxent", "multi_similarity", "nca"])
def test_losses_of_distances_that_are_no_larger_than_float32_has_are_those(
    name: str, distance: str, plan: Execution
) -> None:
    found = []
    for dtype in (torch.float32, torch.float64):
        slots: dict[str, Any] = {"normalize": False} if distance == "lp" else {"embedding_size": 5}
        loss = create("loss", name, distance=create("distance", distance, **slots)).to(dtype)
        x = (1e19 * rows(24).detach().float()).to(dtype).requires_grad_()
        total = loss(x, LABELS, execution=plan)
        found.append((total.detach().double(), torch.autograd.grad(total, x)[0].double()))
    (got, gradient), (want, wanted) = found
    torch.testing.assert_close(got, want, rtol=1e-4, atol=0.0)
    assert (gradient - wanted).norm() <= 1e-3 * wanted.norm()


def selected(name: str, x: Tensor, **slots: Any) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    return create("miner", name, **slots)(x, LABELS).columns()


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("name", default_registry().names("miner"))
def test_miners_of_directions_select_the_same(name: str, size: float) -> None:
    x = rows(24).detach().float()
    for found, want in zip(selected(name, size * x), selected(name, x), strict=True):
        torch.testing.assert_close(found, want, rtol=0, atol=0)


@pytest.mark.parametrize("distance", SLOTS)
@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("name", [name for name in default_registry().names("miner") if name not in OWN_DISTANCE])
def test_miners_select_nothing_that_is_not_allowed(name: str, size: float, distance: str) -> None:
    torch.manual_seed(0)
    found = create("miner", name, distance=create("distance", distance, **SLOTS[distance]))(
        size * rows(24).detach().float(), LABELS
    )
    columns = found.columns()
    anchor, positive = columns[:2]
    other, negative = columns[2:] if isinstance(found, Pairs) else (anchor, columns[2])
    assert (LABELS[anchor] == LABELS[positive]).all()
    assert (anchor != positive).all()
    assert (LABELS[other] != LABELS[negative]).all()


def test_the_hardest_of_pairs_that_are_infinitely_far_is_one_of_them() -> None:
    x = torch.tensor([[0.0], [3e38], [-3e38]])
    anchor, positive, negative = create("miner", "batch_hard", distance=create("distance", "lp", normalize=False))(
        x, torch.tensor([0, 0, 1])
    ).columns()
    assert anchor.tolist() == [0, 1]
    assert positive.tolist() == [1, 0]
    assert negative.tolist() == [2, 2]
