"""The components of pytorch-metric-learning in metricreg's specs, and its objects as specs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricreg_pml.arguments import NoCounterpartError as NoCounterpartError
    from metricreg_pml.conversion import to_spec as to_spec
    from metricreg_pml.differences import PMLDifferenceWarning as PMLDifferenceWarning
    from metricreg_pml.state import load_state as load_state

_HOME = {
    "NoCounterpartError": "arguments",
    "PMLDifferenceWarning": "differences",
    "load_state": "state",
    "to_spec": "conversion",
}

__all__ = ["NoCounterpartError", "PMLDifferenceWarning", "load_state", "to_spec"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: listing components imports this package, and no torch."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
