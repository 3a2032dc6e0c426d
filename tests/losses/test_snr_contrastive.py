"""SNRContrastiveLoss against its loop."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg import SpecError
from metricreg.losses import SNRContrastiveLoss
from tests.oracle import DISTANCES, FEW_PLANS, REDUCERS, SCENARIOS, check, pair_loss, value_and_gradients
from tests.reference.snr_contrastive import snr_contrastive

PARAMETERS: list[dict[str, Any]] = [{"pos_margin": 0.3, "neg_margin": 2.5}]
MEASURE, REDUCE = DISTANCES["snr"][1], REDUCERS["avg_non_zero"][1]


# a zero anchor has no SNR; see test_snr
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "duplicate and zero rows"])
def test_agrees_with_the_formula_in_every_scenario(scenario: str) -> None:
    check(SNRContrastiveLoss(), pair_loss(snr_contrastive, MEASURE, REDUCE), SCENARIOS[scenario]())


@pytest.mark.parametrize("scenario", ["balanced", "references", "pairs", "triplets"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], scenario: str) -> None:
    check(
        SNRContrastiveLoss(**parameters),
        pair_loss(snr_contrastive, MEASURE, REDUCE, **parameters),
        SCENARIOS[scenario](),
    )


@pytest.mark.parametrize("scenario", ["imbalanced, with singletons", "references", "triplets"])
@pytest.mark.parametrize("reducer", REDUCERS)
def test_works_with_every_reducer(reducer: str, scenario: str) -> None:
    ours, reduce = REDUCERS[reducer]
    check(
        SNRContrastiveLoss(reducer=ours()),
        pair_loss(snr_contrastive, MEASURE, reduce),
        SCENARIOS[scenario](),
        plans=FEW_PLANS,
    )


def test_a_zero_anchor_counts_with_a_finite_gradient() -> None:
    case = SCENARIOS["duplicate and zero rows"]()
    for plan in FEW_PLANS.values():
        total = SNRContrastiveLoss()(case.x, case.labels, execution=plan)
        for part in value_and_gradients(total, [case.x]):
            assert part.isfinite().all()


@pytest.mark.parametrize("distance", ["lp", "cosine"])
def test_other_distances_are_refused(distance: str) -> None:
    with pytest.raises(SpecError, match="SNRContrastiveLoss works with SNRDistance"):
        SNRContrastiveLoss(distance=DISTANCES[distance][0]())
