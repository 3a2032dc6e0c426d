"""What is special about FastAPLoss; its formula is in test_formulas."""

from __future__ import annotations

import pytest

from metricreg.distances import LpDistance
from metricreg.losses import FastAPLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, row_loss
from tests.reference.distances import lp_measure
from tests.reference.rank_losses import fast_ap

MEASURE, REDUCE = DISTANCES["lp squared"][1], REDUCERS["mean"][1]


@pytest.mark.parametrize(("power", "largest"), [(1.0, 2.0), (0.5, 2**0.5), (3.0, 8.0)])
@pytest.mark.parametrize("scenario", ["balanced", "references", "duplicate and zero rows"])
def test_works_with_every_power(power: float, largest: float, scenario: str) -> None:
    # of ten bins one would begin at 1, the distance of a zero row from all others
    naive = row_loss(fast_ap, lp_measure(power=power), REDUCE, num_bins=7, largest=largest)
    check(FastAPLoss(7, distance=LpDistance(power=power)), naive, SCENARIOS[scenario](), plans=FEW_PLANS)
