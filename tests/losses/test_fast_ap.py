"""FastAPLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import SpecError
from metricreg.distances import LpDistance
from metricreg.losses import FastAPLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, row_loss, rows
from tests.reference.distances import lp_measure
from tests.reference.fast_ap import fast_ap

PARAMETERS: list[dict[str, Any]] = [{"num_bins": 3}, {"num_bins": 1}, {"num_bins": 37}]
MEASURE, REDUCE = DISTANCES["lp squared"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(FastAPLoss(), row_loss(fast_ap, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(FastAPLoss(**parameters), row_loss(fast_ap, MEASURE, REDUCE, **parameters), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(FastAPLoss(reducer=ours()), row_loss(fast_ap, MEASURE, reduce), SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize(("power", "largest"), [(1.0, 2.0), (0.5, 2**0.5), (3.0, 8.0)])
@pytest.mark.parametrize("scenario", ["balanced", "references", "duplicate and zero rows"])
def test_works_with_every_power(power: float, largest: float, scenario: str) -> None:
    # of ten bins one would begin at 1, the distance of a zero row from all others
    naive = row_loss(fast_ap, lp_measure(power=power), REDUCE, num_bins=7, largest=largest)
    check(FastAPLoss(7, distance=LpDistance(power=power)), naive, SCENARIOS[scenario](), plans=FEW_PLANS)


@pytest.mark.parametrize("distance", ["cosine", "snr", "lp p=1", "lp raw"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match=r"FastAPLoss (works with LpDistance|needs distances that are 2 at most)"):
        FastAPLoss(distance=DISTANCES[distance][0]())


def test_opposite_embeddings_are_in_the_last_bin() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    total = FastAPLoss()(x, [0, 0, 1])  # ranked after, or with, the negative
    assert float(total.detach()) == pytest.approx(0.5)
    total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_bins_are_not_made_for_every_pair() -> None:
    x, labels = rows(40, dtype=torch.float32), torch.arange(40) // 4
    with LargestTensor() as largest:
        FastAPLoss(num_bins=30)(x, labels).backward()
    assert largest.numel <= 40 * 2 * 31
