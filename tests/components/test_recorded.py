"""What a component records of its arguments."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from metricreg import Distance, Registry, create, register


class Turned(Distance):
    """Takes an angle in degrees, and holds radians."""

    def __init__(self, angle: Annotated[float, AfterValidator(math.radians)] = 0.5) -> None:
        super().__init__()
        self.angle = angle

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.mT


def test_what_a_validator_transforms_is_recorded_as_it_was_given() -> None:
    registry = Registry()
    register(Turned, registry=registry)
    made = Turned(angle=90.0)
    again = create("distance", "local/turned", registry=registry, angle=made.to_spec(registry=registry)["angle"])
    assert made.angle == again.angle == math.pi / 2
    assert (
        made.to_spec(registry=registry) == again.to_spec(registry=registry) == {"name": "local/turned", "angle": 90.0}
    )


class Weighted(Distance):
    """Takes a list, and holds a tensor."""

    def __init__(self, weights: Annotated[list[float], AfterValidator(torch.tensor)]) -> None:
        super().__init__()
        self.weights = weights

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (x * self.weights) @ y.mT


def test_what_becomes_a_tensor_is_recorded_as_the_list_that_it_was() -> None:
    registry = Registry()
    register(Weighted, registry=registry)
    assert Weighted([1.0, 2.0]).to_spec(registry=registry) == {"name": "local/weighted", "weights": [1.0, 2.0]}


def test_a_default_that_its_validator_would_transform_is_left_out_of_all_defaults() -> None:
    registry = Registry()
    register(Turned, registry=registry)
    spec = Turned().to_spec(defaults=True, registry=registry)
    assert "angle" not in spec
    given = {name: value for name, value in spec.items() if name != "name"}
    assert create("distance", "local/turned", registry=registry, **given).angle == Turned().angle == 0.5
    assert Turned(angle=90.0).to_spec(defaults=True, registry=registry)["angle"] == 90.0
