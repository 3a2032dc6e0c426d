"""HistogramLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Batch, SpecError
from metricreg.distances import DotProductSimilarity
from metricreg.losses import HistogramLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, batch, check, pair_loss, rows, with_tuples
from tests.reference.distances import dot_product_measure
from tests.reference.histogram import histogram

PARAMETERS: list[tuple[dict[str, Any], int]] = [({"n_bins": 7}, 7), ({"n_bins": 1}, 1), ({"delta": 0.1}, 20)]
MEASURE, REDUCE = DISTANCES["cosine"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(HistogramLoss(), pair_loss(histogram, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize(("parameters", "bins"), PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], bins: int, scenario: str) -> None:
    check(HistogramLoss(**parameters), pair_loss(histogram, MEASURE, REDUCE, n_bins=bins), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "pairs"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_is_a_probability_whatever_the_reducer(reducer: str, scenario: str) -> None:
    loss = HistogramLoss(reducer=REDUCERS[reducer][0]())
    check(loss, pair_loss(histogram, MEASURE, REDUCE), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("scenario", ["balanced", "references", "duplicate and zero rows"])
@pytest.mark.parametrize("power", [1, 2])
def test_works_with_products_of_unit_rows_to_any_power(power: int, scenario: str) -> None:
    loss = HistogramLoss(7, distance=DotProductSimilarity(power=power))
    naive = pair_loss(histogram, dot_product_measure(power=float(power)), REDUCE, n_bins=7)
    check(loss, naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("distance", ["lp", "snr", "dot raw"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match=r"HistogramLoss (works with CosineSimilarity|needs similarities from -1 to 1)"):
        HistogramLoss(distance=DISTANCES[distance][0]())


def test_a_pair_counts_once_in_whichever_order_it_is_listed() -> None:
    case = batch([0, 0, 1, 0, 1])
    once = with_tuples(case, [0, 0, 2], [1, 3, 4], [0, 2], [2, 3])
    again = with_tuples(case, [0, 1, 0, 3, 2], [1, 0, 3, 0, 4], [0, 0, 3], [2, 2, 2])
    want = HistogramLoss()(case.x, case.labels, tuples=once.tuples)
    torch.testing.assert_close(HistogramLoss()(case.x, case.labels, tuples=again.tuples), want)
    assert float(want.detach()) > 0


def test_a_pair_may_be_listed_as_both_kinds() -> None:
    case = with_tuples(batch([0, 1, 0]), [0, 0], [1, 2], [0, 1], [1, 2])
    check(HistogramLoss(), pair_loss(histogram, MEASURE, REDUCE), case)


def test_equal_and_opposite_embeddings_are_in_the_outer_bins() -> None:
    x = torch.tensor([[0.6, 0.8], [0.6, 0.8], [-0.6, -0.8]], requires_grad=True)
    assert float(HistogramLoss()(x, [0, 0, 1]).detach()) == pytest.approx(0.0, abs=1e-6)
    total = HistogramLoss()(x, [0, 1, 0])  # the positives are opposite, one negative of two is equal
    assert float(total.detach()) == pytest.approx(1.0)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_many_pairs_in_a_bin_are_all_counted() -> None:
    x, labels = torch.ones(6000, 2), torch.arange(6000) % 2
    assert float(HistogramLoss(1)(x, labels)) == pytest.approx(1.0, rel=1e-4)


def test_bins_are_not_made_for_every_pair() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 4
    with LargestTensor() as largest:
        HistogramLoss(n_bins=60)(x, labels).backward()
    assert largest.numel <= 40 * 2 * 61


def test_many_bins_are_made_for_few_anchors_at_a_time() -> None:
    loss, case = HistogramLoss(n_bins=1000), Batch.of(rows(40), [0] * 40)
    assert loss.width(loss.prepare(case)) == 2 * 1001


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_bins": 0}, "n_bins"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 3.0}, "delta"),
        ({"delta": 0.3}, "delta=0.3 is not 2 over a whole number.*; give n_bins alone"),
        ({"delta": 1e-308}, "delta=1e-308 is not 2 over a whole number"),
        ({"n_bins": 10, "delta": 0.1}, "delta=0.1 is not 2 / n_bins with n_bins=10.*; give n_bins alone"),
    ],
)
def test_refuses_bins_that_do_not_fill_the_range(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        HistogramLoss(**parameters)


def test_takes_both_parameters_if_they_agree() -> None:
    assert HistogramLoss(n_bins=40, delta=0.05).n_bins == HistogramLoss(delta=0.05).n_bins == 40
