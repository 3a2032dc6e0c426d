"""Deep metric learning objectives from JSON specs, out of components that anyone can ship as a plugin."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import metricreg.plugins  # noqa: F401 - injects the loader of the default registry; imports no torch

if TYPE_CHECKING:
    from metricreg import distances as distances
    from metricreg import losses as losses
    from metricreg import matches as matches
    from metricreg import miners as miners
    from metricreg import reducers as reducers
    from metricreg import regularizers as regularizers
    from metricreg.batch import Batch as Batch
    from metricreg.component import create as create
    from metricreg.component import register as register
    from metricreg.document import load as load
    from metricreg.errors import InputError as InputError
    from metricreg.errors import MetricregError as MetricregError
    from metricreg.errors import PluginError as PluginError
    from metricreg.errors import Problem as Problem
    from metricreg.errors import RegistrationError as RegistrationError
    from metricreg.errors import SpecError as SpecError
    from metricreg.explaining.explainer import explain as explain
    from metricreg.explaining.explanation import Explanation as Explanation
    from metricreg.fold import Execution as Execution
    from metricreg.hinge_triplets import HingeTriplets as HingeTriplets
    from metricreg.hookspecs import hookimpl as hookimpl
    from metricreg.kinds import Distance as Distance
    from metricreg.kinds import Loss as Loss
    from metricreg.kinds import LossSlots as LossSlots
    from metricreg.kinds import Match as Match
    from metricreg.kinds import Miner as Miner
    from metricreg.kinds import MinerSlots as MinerSlots
    from metricreg.kinds import OwnDistanceMinerSlots as OwnDistanceMinerSlots
    from metricreg.kinds import Reducer as Reducer
    from metricreg.kinds import Regularizer as Regularizer
    from metricreg.kinds import RegularizerSlots as RegularizerSlots
    from metricreg.kinds import UnmatchedLossSlots as UnmatchedLossSlots
    from metricreg.layer_regularization import LayerRegularization as LayerRegularization
    from metricreg.pipeline import Pipeline as Pipeline
    from metricreg.pipeline import build as build
    from metricreg.plugins import PluginReport as PluginReport
    from metricreg.plugins import plugin_reports as plugin_reports
    from metricreg.registry import Registry as Registry
    from metricreg.registry import default_registry as default_registry
    from metricreg.schema import json_schema as json_schema
    from metricreg.selection import Pairs as Pairs
    from metricreg.selection import Triplets as Triplets
    from metricreg.spec import validate as validate
    from metricreg.term import Scalar as Scalar
    from metricreg.term import Term as Term

_FAMILIES = ("distances", "losses", "matches", "miners", "reducers", "regularizers")
_HOMES = {
    "batch": ("Batch",),
    "component": ("create", "register"),
    "document": ("load",),
    "errors": ("InputError", "MetricregError", "PluginError", "Problem", "RegistrationError", "SpecError"),
    "explaining.explainer": ("explain",),
    "explaining.explanation": ("Explanation",),
    "fold": ("Execution",),
    "hinge_triplets": ("HingeTriplets",),
    "hookspecs": ("hookimpl",),
    "kinds": (
        "Distance",
        "Loss",
        "LossSlots",
        "Match",
        "Miner",
        "MinerSlots",
        "OwnDistanceMinerSlots",
        "Reducer",
        "Regularizer",
        "RegularizerSlots",
        "UnmatchedLossSlots",
    ),
    "layer_regularization": ("LayerRegularization",),
    "pipeline": ("Pipeline", "build"),
    "plugins": ("PluginReport", "plugin_reports"),
    "registry": ("Registry", "default_registry"),
    "schema": ("json_schema",),
    "selection": ("Pairs", "Triplets"),
    "spec": ("validate",),
    "term": ("Scalar", "Term"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME, *_FAMILIES])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562), so that `import metricreg` stays light."""
    if name in _FAMILIES:
        return import_module(f"metricreg.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("metricreg")
    if name not in _HOME:
        raise AttributeError(f"module 'metricreg' has no attribute '{name}'")
    value = getattr(import_module(f"metricreg.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
