"""What metricreg finds through the entry point."""

from __future__ import annotations

from metricreg import hookimpl


@hookimpl
def metricreg_distances() -> dict[str, str]:
    """Distances of this plugin."""
    return {"poincare": "metricreg_hyperbolic.poincare:PoincareDistance"}
