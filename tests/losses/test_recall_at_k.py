"""What is special about RecallAtKLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch

from metricreg.losses import RecallAtKLoss


def test_is_one_less_recall_where_sigmoids_are_steps() -> None:
    angles = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0, 50.0]).deg2rad()
    x, labels = torch.stack([angles.cos(), angles.sin()], 1), torch.tensor([0, 1, 0, 0, 1, 0])
    # the positives of the first are at the ranks 2, 3 and 5; of a rank of exactly k, a half counts
    for k, found in ((1, 0.0), (2, 0.5), (3, 1.5), (4, 2.0), (5, 2.5), (6, 3.0)):
        loss = RecallAtKLoss([k], k_temperatures=[1e-3], temperature=1e-4)
        total = loss(x[:1], labels[:1], ref_embeddings=x[1:], ref_labels=labels[1:])
        assert float(total) == pytest.approx(1 - found / min(k, 3), abs=1e-4)
