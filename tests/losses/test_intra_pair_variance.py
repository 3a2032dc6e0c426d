"""What is special about IntraPairVarianceLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metricreg import Batch
from metricreg.engine.execution import Execution
from metricreg.losses import IntraPairVarianceLoss
from tests.oracle import rows, value_and_gradients


def test_a_batch_that_a_subclass_changes_after_prepare_is_the_one_that_counts() -> None:
    class WithoutReferences(IntraPairVarianceLoss):
        def prepare(self, batch: Batch) -> Batch:
            batch = super().prepare(batch)
            return batch.replace(references=batch.references.detach())

    x, labels = rows(6), torch.arange(6) // 2
    found = [
        value_and_gradients(WithoutReferences()(x, labels, execution=plan), [x])[1]
        for plan in (Execution("dense"), Execution("tiled", tile=2))
    ]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)
    (whole,) = torch.autograd.grad(IntraPairVarianceLoss()(x, labels), x)
    assert (whole - found[0]).abs().max() > 1e-3


def labels_of(sizes: list[int]) -> Tensor:
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


@pytest.mark.parametrize("sizes", [[20] * 15, [100] + [2] * 100])
def test_the_means_are_of_all_pairs_where_some_anchors_have_many_positives(sizes: list[int]) -> None:
    """Blocks of a symmetric comparison may have few positives where the batch has many."""
    labels = labels_of(sizes)[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    x = rows(300)
    found = [
        value_and_gradients(IntraPairVarianceLoss()(x, labels, execution=plan), [x])
        for plan in (Execution("dense"), Execution("tiled", tile=7))
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)
