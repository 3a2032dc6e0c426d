"""Hyperbolic distance for metricreg."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricreg_hyperbolic.poincare import PoincareDistance as PoincareDistance

__all__ = ["PoincareDistance"]


def __getattr__(name: str) -> Any:
    """Import the class when it is first asked for: listing components imports this package, and no torch."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.poincare"), name)
