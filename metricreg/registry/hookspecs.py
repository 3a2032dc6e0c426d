"""The hooks a plugin implements: one a kind, each returning the components it adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from metricreg.components import Distance, Loss, Match, Miner, Reducer, Regularizer

PROJECT = "metricreg"
PREFIX = "metricreg_"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of one of the hooks below."""


@hookspec
def metricreg_distances() -> Mapping[str, type[Distance] | str]:  # type: ignore[empty-body]
    """Distances: *name → class*, or *name → "package.module:Class"*, imported when it is first needed."""


@hookspec
def metricreg_losses() -> Mapping[str, type[Loss] | str]:  # type: ignore[empty-body]
    """Losses: *name → class*, or *name → "package.module:Class"*."""


@hookspec
def metricreg_reducers() -> Mapping[str, type[Reducer] | str]:  # type: ignore[empty-body]
    """Reducers: *name → class*, or *name → "package.module:Class"*."""


@hookspec
def metricreg_regularizers() -> Mapping[str, type[Regularizer] | str]:  # type: ignore[empty-body]
    """Regularizers: *name → class*, or *name → "package.module:Class"*."""


@hookspec
def metricreg_miners() -> Mapping[str, type[Miner] | str]:  # type: ignore[empty-body]
    """Miners: *name → class*, or *name → "package.module:Class"*."""


@hookspec
def metricreg_matches() -> Mapping[str, type[Match] | str]:  # type: ignore[empty-body]
    """Matches: *name → class*, or *name → "package.module:Class"*."""


HOOKS = {
    "distance": "metricreg_distances",
    "loss": "metricreg_losses",
    "reducer": "metricreg_reducers",
    "regularizer": "metricreg_regularizers",
    "miner": "metricreg_miners",
    "match": "metricreg_matches",
}
