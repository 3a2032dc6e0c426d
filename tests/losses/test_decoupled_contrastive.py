"""What is special about DecoupledContrastiveLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from metricreg.losses import DecoupledContrastiveLoss
from tests.oracle import rows


def test_weights_of_pairs_that_are_all_alike_are_one() -> None:
    x = rows(4).detach()
    x[2:] = x[:2]
    want = DecoupledContrastiveLoss()(x, [0, 1, 0, 1])
    torch.testing.assert_close(DecoupledContrastiveLoss(weighting="vmf")(x, [0, 1, 0, 1]), want)
