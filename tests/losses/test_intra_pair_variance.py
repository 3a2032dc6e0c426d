"""What is special about IntraPairVarianceLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch
from metricreg.components import Distance
from metricreg.distances import CosineSimilarity, DotProductSimilarity
from metricreg.engine.fold import Execution
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


@pytest.mark.parametrize("sizes", [[4] * 16, [1] * 10 + [2] * 12 + [5] * 6, [1] * 64])
@pytest.mark.parametrize(
    "distance", [CosineSimilarity(), DotProductSimilarity(normalize=False), CosineSimilarity(power=2)]
)
@pytest.mark.parametrize("references", [False, True])
def test_means_of_inner_products_need_no_matrix(
    references: bool, distance: Distance, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.batch.samples.LISTED", 0)
    made, means = [], []  # anchors whose distances were made; how many, for the means of each tile

    class Seen(IntraPairVarianceLoss):
        def _all(self, batch: Batch) -> Tensor:
            made.append(len(batch))
            return super()._all(batch)

        def _distances(self, part: Batch) -> Any:
            made.clear()
            found = super()._distances(part)
            means.append(sum(made))
            return found

    x, y = (rows(64, seed).detach()[:, :2].requires_grad_() for seed in (0, 1))
    labels = labels_of(sizes)
    against = {"ref_embeddings": y, "ref_labels": labels.flip(0)} if references else {}
    loss, plans = Seen(0.3, 0.2, distance=distance), [Execution("tiled", tile=7), Execution("dense")]
    found = []
    for plan in plans:
        value, *of_inputs = value_and_gradients(
            loss(x, labels, **against, execution=plan), [x, y] if references else [x]
        )
        found.append([value, *of_inputs])
        if plan.plan == "tiled":
            assert any(means) is not distance.is_bilinear
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


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
