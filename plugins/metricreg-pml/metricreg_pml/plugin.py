"""What the entry point `pml` names: the hooks, which list the components without importing them."""

from __future__ import annotations

import metricreg
from metricreg_pml.catalogue import PREFIX, components


def _listed(kind: str) -> dict[str, str]:
    return {name: f"metricreg_pml.components:{PREFIX}{cls}" for name, cls in components(kind).items()}


@metricreg.hookimpl
def metricreg_distances() -> dict[str, str]:
    """Distances."""
    return _listed("distance")


@metricreg.hookimpl
def metricreg_losses() -> dict[str, str]:
    """Losses."""
    return _listed("loss")


@metricreg.hookimpl
def metricreg_miners() -> dict[str, str]:
    """Miners."""
    return _listed("miner")


@metricreg.hookimpl
def metricreg_reducers() -> dict[str, str]:
    """Reducers."""
    return _listed("reducer")


@metricreg.hookimpl
def metricreg_regularizers() -> dict[str, str]:
    """Regularizers."""
    return _listed("regularizer")
