"""A third party's distance decides how much memory a value takes, not how much a step takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import Distance, create, default_registry
from metricreg.engine.execution import CPU_TILE_VALUES, MIN_BROADCAST_ANCHORS
from tests.largest_tensor import LargestTensor
from tests.oracle import PAIR_LOSSES

N, DIM = 512, 64
LABELS = torch.arange(N) // 4


class CityBlock(Distance):
    """As in the documentation."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)


class Weighed(Distance):
    """Broadcasts, and makes several such values."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        difference = x[..., :, None, :] - y[..., None, :, :]
        return (difference.square() / (1.0 + difference.abs())).sum(-1).sqrt()


class Angle(Distance):
    """Broadcasts inside of an operation of torch."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return 1.0 - torch.nn.functional.cosine_similarity(x[..., :, None, :], y[..., None, :, :], dim=-1)


class Pairwise(Distance):
    """The same."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = torch.broadcast_tensors(x[..., :, None, :], y[..., None, :, :])
        return torch.nn.functional.pairwise_distance(*pairs)


def embeddings() -> Tensor:
    return torch.randn(N, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()


def most(values: int) -> int:
    return max(CPU_TILE_VALUES, MIN_BROADCAST_ANCHORS * N * values)


@pytest.mark.parametrize("distance", [CityBlock, Weighed, Angle, Pairwise])
@pytest.mark.parametrize("name", ["contrastive", "triplet_margin", "margin", "lifted_structure", "fast_ap", "nca"])
def test_losses_take_it_in_tiles(name: str, distance: type[Distance]) -> None:
    try:
        loss = PAIR_LOSSES[name](distance=distance())
    except metricreg.SpecError:
        pytest.skip("not defined for this distance")
    x = embeddings()
    with LargestTensor() as seen:
        loss(x, LABELS).backward()
    assert seen.numel <= most(DIM)


@pytest.mark.parametrize("name", ["batch_hard", "multi_similarity", "triplet_margin", "pair_margin"])
def test_miners_take_it_in_tiles(name: str) -> None:
    with LargestTensor() as seen:
        create("miner", name, distance=CityBlock())(embeddings(), LABELS)
    assert seen.numel <= most(DIM)


@pytest.mark.parametrize("name", default_registry().names("distance"))
def test_a_distance_that_does_not_broadcast_is_measured_as_one(name: str) -> None:
    given: dict[str, Any] = {"embedding_size": DIM} if name == "mahalanobis" else {}
    assert create("distance", name, **given).values_per_pair(embeddings()) == 1


def test_how_many_values_a_distance_keeps_is_measured_once() -> None:
    calls = []

    class Counted(CityBlock):
        def matrix(self, x: Tensor, y: Tensor) -> Tensor:
            calls.append(len(x))
            return super().matrix(x, y)

    distance = Counted()
    assert distance.values_per_pair(embeddings()) >= DIM
    first = len(calls)
    distance.values_per_pair(embeddings())
    assert len(calls) == first
