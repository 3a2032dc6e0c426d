"""What the entry point `robust` names: the hooks, which list the components without importing them."""

from __future__ import annotations

import metricreg


@metricreg.hookimpl
def metricreg_losses() -> dict[str, str]:
    """Losses."""
    return {"rince": "metricreg_robust.rince:RINCELoss"}


@metricreg.hookimpl
def metricreg_reducers() -> dict[str, str]:
    """Reducers."""
    return {
        "clipped_mean": "metricreg_robust.clipped_mean:ClippedMeanReducer",
        "trimmed_mean": "metricreg_robust.trimmed_mean:TrimmedMeanReducer",
    }
