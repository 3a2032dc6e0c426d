"""What is special about DynamicSoftMarginLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Execution, InputError
from metricreg.losses import DynamicSoftMarginLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import DISTANCES, PLANS, REDUCERS, VIEWS, assert_close, batch, pair_loss, rows, value_and_gradients
from tests.reference import reducers
from tests.reference.distances import lp
from tests.reference.pair_losses import differences_of, dynamic_soft_margin, moved, weighed
from tests.reference.reducers import Anchors

# of an odd number of bins none ends at 0, where duplicate embeddings are but for rounding
MEASURE, REDUCE = DISTANCES["lp"][1], REDUCERS["mean"][1]


def loss_of(**arguments: Any) -> DynamicSoftMarginLoss:
    return DynamicSoftMarginLoss(**{"num_bins": 7} | arguments).double().eval()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_the_histogram_is_a_running_mean(plan: Execution) -> None:
    loss, histogram = loss_of(momentum=0.25).train(), [0.0] * 8
    for seed, labels in enumerate(([0, 1], [0, 1, 2, 3, 0, 1], [2, 2, 1], [3], [0, 3, 3, 1, 1, 1, 2])):
        case = batch(labels, seed)
        want = value_and_gradients(
            pair_loss(dynamic_soft_margin, MEASURE, REDUCE, num_bins=7, momentum=0.25, before=histogram)(case), [case.x]
        )
        assert_close(value_and_gradients(loss(case.x, case.labels, execution=plan), [case.x]), want, 1e-10)
        found = differences_of(MEASURE, case.x, case.x, case.chosen)
        histogram = moved(histogram, [v for _, v in found], momentum=0.25)
        assert loss.histogram.tolist() == pytest.approx(histogram)
        assert sum(histogram) == pytest.approx(min(seed, 1))  # of the first batch there is none


def test_a_histogram_is_kept_in_evaluation_and_where_there_is_nan() -> None:
    loss, case = loss_of().train(), batch([0, 0, 1, 1, 2])
    loss(case.x, case.labels)
    before = loss.histogram.clone()
    assert loss(rows(4, 3) * torch.nan, [0, 0, 1, 1]).isnan()
    assert torch.equal(loss.histogram, before)
    other = batch([0, 1, 1, 0, 2], 5)
    want = reducers.mean(
        weighed(differences_of(MEASURE, other.x, other.x, other.chosen), before.tolist())["loss"], Anchors(5)
    )
    torch.testing.assert_close(loss.eval()(other.x, other.labels), want)
    assert torch.equal(loss.histogram, before)


def test_a_difference_at_the_end_of_the_histogram_is_in_it() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = DynamicSoftMarginLoss()
    assert float(loss(x, [0, 0, 1]).detach()) == pytest.approx((2.0 + 0.0) / 2)  # of weights 1 and 1/2
    assert loss.histogram.tolist() == pytest.approx([0.0] * 5 + [0.5] + [0.0] * 4 + [0.5])


def hardest(x: Tensor, y: Tensor) -> list[tuple[int, Tensor]]:
    """Of each couple the distance, less the least from either to a row of another couple in the other view."""
    x, y = (torch.stack([MEASURE.prepare(a) for a in z]) if len(z) else z for z in (x, y))
    found = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        negatives = [*(lp(x[i], y[j]) for j in others), *(lp(x[j], y[i]) for j in others)]
        if negatives:
            found.append((i, lp(x[i], y[i]) - min(negatives, key=lambda d: float(d.detach()))))
    return found


@pytest.mark.parametrize("scenario", VIEWS)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_two_views_without_labels_are_couples_with_their_hardest_negatives(scenario: str, plan: Execution) -> None:
    case = VIEWS[scenario]()
    found = hardest(case.x, case.references)
    histogram = moved([0.0] * 8, [v for _, v in found])
    want = reducers.mean(weighed(found, histogram)["loss"], Anchors(len(case.x)))
    total = loss_of()(case.x, ref_embeddings=case.ref, execution=plan)
    assert total.requires_grad
    assert_close(value_and_gradients(total, case.leaves), value_and_gradients(want, case.leaves), 1e-10)


def test_without_labels_there_must_be_two_views() -> None:
    with pytest.raises(InputError, match="DynamicSoftMarginLoss without labels compares two views"):
        DynamicSoftMarginLoss()(rows(4))
    with pytest.raises(InputError, match="there are 4 and 3"):
        DynamicSoftMarginLoss()(rows(4), ref_embeddings=rows(3, 1))


def test_a_nan_in_either_view_is_not_hidden() -> None:
    for which in (0, 1):
        both = [rows(5).detach(), rows(5, 1).detach()]
        both[which][3, 1] = torch.nan
        assert loss_of()(both[0], ref_embeddings=both[1]).isnan()


def test_the_histogram_is_made_in_the_memory_of_the_distances() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 10
    with LargestTensor() as largest, torch.no_grad():
        DynamicSoftMarginLoss(num_bins=20)(x, labels, execution=Execution("tiled", tile=1))
    assert largest.numel <= 40 * 40
