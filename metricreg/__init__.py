"""Deep metric learning objectives from JSON specs, out of components that anyone can ship as a plugin.

Every name that users and authors of plugins need is here, and imported when it is first asked for: `import metricreg`
imports no torch. The rooms below are told apart by what they may know; `docs/architecture.md` has their order.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricreg import distances as distances
    from metricreg import losses as losses
    from metricreg import matches as matches
    from metricreg import miners as miners
    from metricreg import reducers as reducers
    from metricreg import regularizers as regularizers
    from metricreg.batch import Batch as Batch
    from metricreg.batch.terms import HingeTriplets as HingeTriplets
    from metricreg.batch.terms import Scalar as Scalar
    from metricreg.batch.terms import Term as Term
    from metricreg.batch.tuples import Pairs as Pairs
    from metricreg.batch.tuples import Triplets as Triplets
    from metricreg.components import Distance as Distance
    from metricreg.components import DistanceSlots as DistanceSlots
    from metricreg.components import LearnedNumber as LearnedNumber
    from metricreg.components import Loss as Loss
    from metricreg.components import LossSlots as LossSlots
    from metricreg.components import Match as Match
    from metricreg.components import Miner as Miner
    from metricreg.components import MinerSlots as MinerSlots
    from metricreg.components import OwnDistanceMinerSlots as OwnDistanceMinerSlots
    from metricreg.components import PositiveNumber as PositiveNumber
    from metricreg.components import Reducer as Reducer
    from metricreg.components import Regularizer as Regularizer
    from metricreg.components import RegularizerSlots as RegularizerSlots
    from metricreg.components import UnmatchedLossSlots as UnmatchedLossSlots
    from metricreg.components import UnreducedLossSlots as UnreducedLossSlots
    from metricreg.components import WrapperLoss as WrapperLoss
    from metricreg.components import by_value as by_value
    from metricreg.components import symmetric as symmetric
    from metricreg.components.component import create as create
    from metricreg.components.component import register as register
    from metricreg.engine.execution import Execution as Execution
    from metricreg.errors import InputError as InputError
    from metricreg.errors import MetricregError as MetricregError
    from metricreg.errors import NothingToLearnWarning as NothingToLearnWarning
    from metricreg.errors import PerRankWarning as PerRankWarning
    from metricreg.errors import PluginError as PluginError
    from metricreg.errors import Problem as Problem
    from metricreg.errors import RegistrationError as RegistrationError
    from metricreg.errors import RenamedWarning as RenamedWarning
    from metricreg.errors import SpecError as SpecError
    from metricreg.explanation.explainer import explain as explain
    from metricreg.explanation.explanation import Explanation as Explanation
    from metricreg.layer_regularization import LayerRegularization as LayerRegularization
    from metricreg.pipeline import Pipeline as Pipeline
    from metricreg.pipeline import build as build
    from metricreg.registry import Registry as Registry
    from metricreg.registry import default_registry as default_registry
    from metricreg.registry.entry_points import PluginReport as PluginReport
    from metricreg.registry.entry_points import plugin_reports as plugin_reports
    from metricreg.registry.hookspecs import hookimpl as hookimpl
    from metricreg.spec.diff import Difference as Difference
    from metricreg.spec.diff import diff as diff
    from metricreg.spec.document import load as load
    from metricreg.spec.json_schema import json_schema as json_schema
    from metricreg.spec.lock import lock as lock
    from metricreg.spec.migrate import migrate as migrate
    from metricreg.spec.spec import validate as validate

_FAMILIES = ("distances", "losses", "matches", "miners", "reducers", "regularizers")
_HOMES = {
    "batch": ("Batch",),
    "components.component": ("create", "register"),
    "spec.diff": ("Difference", "diff"),
    "spec.document": ("load",),
    "spec.lock": ("lock",),
    "spec.migrate": ("migrate",),
    "errors": (
        "InputError",
        "MetricregError",
        "NothingToLearnWarning",
        "PerRankWarning",
        "PluginError",
        "Problem",
        "RegistrationError",
        "RenamedWarning",
        "SpecError",
    ),
    "explanation.explainer": ("explain",),
    "explanation.explanation": ("Explanation",),
    "engine.execution": ("Execution",),
    "registry.hookspecs": ("hookimpl",),
    "components": (
        "Distance",
        "DistanceSlots",
        "LearnedNumber",
        "Loss",
        "LossSlots",
        "Match",
        "Miner",
        "MinerSlots",
        "OwnDistanceMinerSlots",
        "PositiveNumber",
        "Reducer",
        "Regularizer",
        "RegularizerSlots",
        "UnmatchedLossSlots",
        "UnreducedLossSlots",
        "WrapperLoss",
        "by_value",
        "symmetric",
    ),
    "layer_regularization": ("LayerRegularization",),
    "pipeline": ("Pipeline", "build"),
    "registry.entry_points": ("PluginReport", "plugin_reports"),
    "registry": ("Registry", "default_registry"),
    "spec.json_schema": ("json_schema",),
    "batch.tuples": ("Pairs", "Triplets"),
    "spec.spec": ("validate",),
    "batch.terms": ("HingeTriplets", "Scalar", "Term"),
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
