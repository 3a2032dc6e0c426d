"""What is special about InstanceLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from metricreg.losses import InstanceLoss
from tests.oracle import BALANCED, rows


def test_the_order_of_the_rows_does_not_matter() -> None:
    x, labels, order = rows(10), torch.tensor(BALANCED), torch.tensor([3, 9, 1, 0, 4, 8, 2, 6, 7, 5])
    torch.testing.assert_close(InstanceLoss()(x, labels), InstanceLoss()(x[order], labels[order]))
