"""What metricreg promises of every component, of those of this plugin."""

from __future__ import annotations

from metricreg_robust import ClippedMeanReducer, RINCELoss, TrimmedMeanReducer

from metricreg.testing import Check, Example, parametrize_with_checks


@parametrize_with_checks(
    [
        ClippedMeanReducer,
        (ClippedMeanReducer, {"cap": 0.25}),
        TrimmedMeanReducer,
        (TrimmedMeanReducer, {"fraction": 0.3}),
        RINCELoss,
        (RINCELoss, {"q": 0.3, "density": 0.05, "temperature": {"learned": 0.5}}),
        (RINCELoss, {"distance": {"name": "lp", "power": 2.0}, "reducer": "robust/clipped_mean"}),
    ]
)
def test_component(component: Example, check: Check) -> None:
    check(component)
