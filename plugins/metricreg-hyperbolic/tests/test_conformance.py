"""What metricreg promises of every component, of those of this plugin."""

from __future__ import annotations

from metricreg_hyperbolic import PoincareDistance

from metricreg.testing import Check, Example, parametrize_with_checks


@parametrize_with_checks(
    [
        PoincareDistance,
        (PoincareDistance, {"curvature": 0.1, "clip": 2.3}),
        (PoincareDistance, {"curvature": 0.3, "power": 2.0}),
        (PoincareDistance, {"mapped": False}),
    ]
)
def test_component(component: Example, check: Check) -> None:
    check(component)
