"""What is special about SNRContrastiveLoss; its formula is in test_formulas."""

from __future__ import annotations

from metricreg.losses import SNRContrastiveLoss
from tests.oracle import FEW_PLANS, SCENARIOS, value_and_gradients


def test_a_zero_anchor_counts_with_a_finite_gradient() -> None:
    case = SCENARIOS["duplicate and zero rows"]()
    for plan in FEW_PLANS.values():
        total = SNRContrastiveLoss()(case.x, case.labels, execution=plan)
        for part in value_and_gradients(total, [case.x]):
            assert part.isfinite().all()
