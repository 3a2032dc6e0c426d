"""What is special about NPairsLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from metricreg.losses import NPairsLoss
from tests.oracle import rows


def test_a_nan_in_a_row_that_no_pair_has_is_not_hidden() -> None:
    x = rows(4).detach()
    x[3] = torch.nan
    assert NPairsLoss()(x, [0, 0, 1, 0]).isnan()
