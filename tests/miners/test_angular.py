"""AngularMiner: its angle, its bounds, its memory."""

from __future__ import annotations

import math

import pytest
import torch

from metricreg import SpecError
from metricreg.miners import AngularMiner


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_the_angle_is_that_at_the_negative() -> None:
    # anchor and positive at 0 and 90 degrees: |a - p| = sqrt(2), c = (1/2, 1/2); the negative opposite to c
    x = on_circle(0.0, 90.0, 225.0)
    seen = math.degrees(math.atan(math.sqrt(2) / 2 / (1 + math.sqrt(0.5))))
    assert len(AngularMiner(angle=seen - 1e-6)(x, [0, 0, 1]).columns()[0]) == 2
    assert len(AngularMiner(angle=seen + 1e-6)(x, [0, 0, 1]).columns()[0]) == 0


def test_equal_anchor_and_positive_have_no_angle_and_a_negative_between_them_has_90_degrees() -> None:
    assert not len(AngularMiner(angle=0.0)(on_circle(0.0, 0.0, 0.0), [0, 0, 1]).columns()[0])
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert AngularMiner(angle=89.9)(x, [0, 0, 1]).columns()[0].tolist() == [0, 1]


@pytest.mark.parametrize("angle", [-1.0, 90.0, 200.0])
def test_other_angles_are_refused(angle: float) -> None:
    with pytest.raises(SpecError, match="angle"):
        AngularMiner(angle=angle)
