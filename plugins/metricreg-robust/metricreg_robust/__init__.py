"""Reducers and a loss for metricreg that tolerate mislabelled samples."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricreg_robust.clipped_mean import ClippedMeanReducer as ClippedMeanReducer
    from metricreg_robust.rince import RINCELoss as RINCELoss
    from metricreg_robust.trimmed_mean import TrimmedMeanReducer as TrimmedMeanReducer

_HOME = {"ClippedMeanReducer": "clipped_mean", "RINCELoss": "rince", "TrimmedMeanReducer": "trimmed_mean"}

__all__ = ["ClippedMeanReducer", "RINCELoss", "TrimmedMeanReducer"]


def __getattr__(name: str) -> Any:
    """Import a class when it is first asked for: listing components imports this package, and no torch."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
