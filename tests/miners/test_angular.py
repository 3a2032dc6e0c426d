"""AngularMiner: its angle, its bounds, its memory."""

from __future__ import annotations

import math

import pytest
import torch

from metricreg import SpecError
from metricreg.engine.execution import CPU_TILE_VALUES
from metricreg.miners import AngularMiner
from tests.largest_tensor import LargestTensor
from tests.oracle import rows


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_the_angle_is_that_at_the_negative() -> None:
    # anchor and positive at 0 and 90 degrees: |a - p| = sqrt(2), c = (1/2, 1/2); the negative opposite to c
    x = on_circle(0.0, 90.0, 225.0)
    seen = math.degrees(math.atan(math.sqrt(2) / 2 / (1 + math.sqrt(0.5))))
    assert len(AngularMiner(angle=seen - 1e-6)(x, [0, 0, 1]).columns()[0]) == 2
    assert len(AngularMiner(angle=seen + 1e-6)(x, [0, 0, 1]).columns()[0]) == 0


def test_the_length_of_embeddings_does_not_matter() -> None:
    x, labels = rows(8).detach(), [0, 0, 1, 1, 2, 2, 0, 1]
    want = AngularMiner()(x, labels)
    got = AngularMiner()(x * torch.arange(1.0, 9.0)[:, None], labels)
    assert [c.tolist() for c in got.columns()] == [c.tolist() for c in want.columns()]


def test_equal_anchor_and_positive_have_no_angle_and_a_negative_between_them_has_90_degrees() -> None:
    assert not len(AngularMiner(angle=0.0)(on_circle(0.0, 0.0, 0.0), [0, 0, 1]).columns()[0])
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert AngularMiner(angle=89.9)(x, [0, 0, 1]).columns()[0].tolist() == [0, 1]


@pytest.mark.parametrize("angle", [-1.0, 90.0, 200.0])
def test_other_angles_are_refused(angle: float) -> None:
    with pytest.raises(SpecError, match="angle"):
        AngularMiner(angle=angle)


def test_triplets_are_looked_at_in_bounded_memory() -> None:
    x = rows(240, dtype=torch.float32).detach()
    with LargestTensor() as seen:
        AngularMiner(angle=89.0)(x, torch.arange(240) % 2)
    assert seen.numel <= 2 * CPU_TILE_VALUES < 240 * 120 * 240
