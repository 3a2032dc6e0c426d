"""What is special about SmoothAPLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from metricreg.losses import SmoothAPLoss
from tests.oracle import rows


def test_a_row_is_its_own_positive_only_where_both_of_its_labels_are_the_same() -> None:
    x, labels, others = rows(6), [0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 1, 0]  # the same for row 4
    ours = SmoothAPLoss()(x, labels, ref_embeddings=x, ref_labels=others)
    separate = SmoothAPLoss()(x, labels, ref_embeddings=x.clone(), ref_labels=others)
    torch.testing.assert_close(ours, separate, rtol=1e-12, atol=0)
