"""With which arguments an object of pytorch-metric-learning was constructed, read from its attributes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from metricreg import Problem, SpecError
from metricreg_pml.catalogue import LIBRARY, MODULES, components
from metricreg_pml.parameters import AGGREGATIONS, parameters_of


class NoCounterpartError(SpecError):
    """An object of pytorch-metric-learning that no spec describes."""

    def __init__(self, problems: Iterable[Problem] | str, title: str = "") -> None:
        super().__init__(problems, title)


VECTORS = {
    "ArcFaceLoss": "W",
    "CosFaceLoss": "W",
    "LargeMarginSoftmaxLoss": "W",
    "ManifoldLoss": "proxies",
    "NormalizedSoftmaxLoss": "W",
    "P2SGradLoss": "weight",
    "ProxyAnchorLoss": "proxies",
    "ProxyNCALoss": "proxies",
    "SoftTripleLoss": "fc",
    "SphereFaceLoss": "W",
    "SubCenterArcFaceLoss": "W",
}
"""Where a loss keeps its class vectors: as rows under `proxies`, as columns under other names."""


def vectors_of(theirs: Any) -> Tensor:
    """The class vectors of a loss, `[C K, D]`."""
    name = VECTORS[type(theirs).__name__]
    found: Tensor = getattr(theirs, name).detach()
    return found if name == "proxies" else found.T


def identity(theirs: Any) -> tuple[str, str]:
    """The kind and the name, without `pml/`, of an object of a class of pytorch-metric-learning's own.

    Raises:
        NoCounterpartError: of another class.
    """
    if isinstance(theirs, type):
        raise NoCounterpartError(f"{theirs.__name__} is a class; give an object of it")
    cls = type(theirs)
    for kind in MODULES:
        for name, known in components(kind).items():
            if cls.__name__ == known and cls.__module__.startswith(f"{LIBRARY}."):
                return kind, name
    raise NoCounterpartError(
        f"{cls.__module__}.{cls.__qualname__} is none of pytorch-metric-learning's components; derive a component of "
        "your own from metricreg.Loss, Miner, Distance, Reducer or Regularizer"
    )


def arguments_of(theirs: Any) -> dict[str, Any]:
    """The arguments of an object, in the form of JSON but for objects in them; those at their defaults left out.

    Raises:
        NoCounterpartError: an argument that JSON does not have, such as a function.
    """
    cls, found = type(theirs), {}
    for name, parameter in parameters_of(cls).items():
        read = READERS.get(f"{cls.__name__}.{name}", READERS.get(name))
        value = getattr(theirs, name) if read is None else read(theirs)
        if value is not None and (parameter.default is inspect.Parameter.empty or value != parameter.default):
            found[name] = value
    return found


def _degrees(attribute: str) -> Callable[[Any], float]:
    return lambda theirs: float(f"{math.degrees(float(getattr(theirs, attribute))):.12g}")


def shortest(values: Tensor) -> list[Any]:
    """Numbers with the digits of their type, so that 0.3 in float32 is 0.3."""
    found = values.detach().cpu().flatten()
    return [float(str(value)) for value in found.numpy()] if found.is_floating_point() else found.tolist()


def centers_of(theirs: Any) -> int:
    """How many vectors a loss has of each class."""
    return int(getattr(theirs, "sub_centers", getattr(theirs, "centers_per_class", 1)))


def _centers_of_mask(theirs: Any) -> int:
    """K, of the mask that pairs the K centers of each class with each other."""
    mask = theirs.same_class_mask
    return 1 + 2 * int(mask.sum()) // len(mask)


def _bins(theirs: Any) -> int | None:
    bins = round(2 / theirs.delta)
    return bins if 2 / bins == theirs.delta else None


def _aggregation(theirs: Any) -> str:
    for name, function in AGGREGATIONS.items():
        if theirs.aggregation_func is function:
            return name
    raise NoCounterpartError(
        "PerAnchorReducer has an aggregation_func of your own, which JSON does not have; write the spec by hand, with "
        "the aggregation 'mean' or 'sum'"
    )


def _init(theirs: Any) -> str | None:
    """The name of the function that drew the class vectors; None for the default, and for one without a name."""
    given, default = theirs.weight_init_func, theirs.get_default_weight_init_func()
    function, keywords = getattr(given, "init_func", None), getattr(given, "kwargs", {})
    if function is default.init_func and keywords == default.kwargs:
        return None
    name = getattr(function, "__name__", "").removesuffix("_")
    known = not keywords and function is getattr(torch.nn.init, f"{name}_", None)
    return name if known and name in INITS else None


INITS = ("normal", "uniform", "xavier_normal", "xavier_uniform", "orthogonal")


def has_own_init(theirs: Any) -> bool:
    """Whether the class vectors were drawn by a function that a spec does not name."""
    if not hasattr(theirs, "weight_init_func") or _init(theirs) is not None:
        return False
    given, default = theirs.weight_init_func, theirs.get_default_weight_init_func()
    function, keywords = getattr(given, "init_func", None), getattr(given, "kwargs", {})
    return not (function is default.init_func and keywords == default.kwargs)


def _share(theirs: Any) -> float:
    if theirs.was_set_externally:
        raise NoCounterpartError("HDCMiner had its tuples set from outside, which is no argument")
    return float(theirs.filter_percentage)


def _children(attribute: str) -> Callable[[Any], Any]:
    """The modules in a ModuleList or ModuleDict, as a list or mapping."""

    def read(theirs: Any) -> Any:
        held = getattr(theirs, attribute)
        if held is None:
            return None
        return dict(held.items()) if hasattr(held, "items") else list(held)

    return read


def _factors(theirs: Any) -> Any:
    """The weights of several losses; None if all are 1."""
    given = theirs.weights
    factors = given.values() if isinstance(given, dict) else given
    if all(factor == 1 for factor in factors):
        return None
    return {k: float(v) for k, v in given.items()} if isinstance(given, dict) else [float(v) for v in given]


def _range(attribute: str) -> Callable[[Any], Any]:
    return lambda theirs: None if getattr(theirs, attribute) is None else [float(x) for x in getattr(theirs, attribute)]


READERS: dict[str, Callable[[Any], Any]] = {
    "aggregation_func": _aggregation,
    "allowed_neg_range": _range("allowed_neg_range"),
    "allowed_pos_range": _range("allowed_pos_range"),
    "collect_stats": lambda theirs: True if theirs.collect_stats else None,
    "embedding_size": lambda theirs: vectors_of(theirs).shape[1],
    "losses": _children("losses"),
    "miners": _children("miners"),
    "num_classes": lambda theirs: len(vectors_of(theirs)) // centers_of(theirs),
    "reducers": _children("reducers"),
    "weight_init_func": _init,
    "AngularLoss.alpha": _degrees("alpha"),
    "AngularMiner.angle": _degrees("angle"),
    "ArcFaceLoss.margin": _degrees("margin"),
    "ClassWeightedReducer.weights": lambda theirs: shortest(theirs.weights),
    "CrossBatchMemory.embedding_size": lambda theirs: theirs.embedding_size,
    "HDCMiner.filter_percentage": _share,
    "HistogramLoss.delta": lambda theirs: None if _bins(theirs) else theirs.delta,
    "HistogramLoss.n_bins": _bins,
    "MarginLoss.beta": lambda theirs: shortest(theirs.beta)[0],
    "MarginLoss.num_classes": lambda theirs: len(theirs.beta) if len(theirs.beta) > 1 else None,
    "MultipleLosses.weights": _factors,
    "RankedListLoss.alpha": lambda theirs: None if theirs.alpha == 1 + theirs.margin / 2 else theirs.alpha,
    "SoftTripleLoss.gamma": lambda theirs: float(f"{1.0 / theirs.gamma:.12g}"),
    "SparseCentersRegularizer.centers_per_class": _centers_of_mask,
    "SparseCentersRegularizer.num_classes": lambda theirs: len(theirs.same_class_mask) // _centers_of_mask(theirs),
    "SubCenterArcFaceLoss.margin": _degrees("margin"),
    "TupletMarginLoss.margin": _degrees("margin"),
}
"""How to read an argument that is not the attribute of its name."""

# -- reducers ---------------------------------------------------------------------------------------------------------

REDUCED = (
    *("DynamicSoftMarginLoss", "HistogramLoss", "ManifoldLoss", "P2SGradLoss", "PNPLoss"),
    "ThresholdConsistentMarginLoss",
)
"""Losses that reduce their values themselves, whatever reducer they have."""


def reducers_of(theirs: Any) -> dict[str, Any]:
    """The reducer of each list of values that a loss has, by the name of the list; nothing if none is looked at.

    A reducer that leaves everything as it is stands for all, under the name "".
    """
    reducer, cls = theirs.reducer, type(theirs).__name__
    if type(reducer).__name__ == "DoNothingReducer":
        return {"": reducer}
    if cls in REDUCED:
        return {}
    names = ["ap_loss"] if cls == "SmoothAPLoss" else list(theirs._sub_loss_names())
    if cls == "MarginLoss" and not (theirs.learn_beta and len(theirs.beta) > 1):
        names = ["margin_loss"]
    if cls == "VICRegLoss":
        names = ["invariance_loss", "variance_loss1", "variance_loss2"]
    if type(reducer).__name__ != "MultipleReducers":
        return dict.fromkeys(names, reducer)
    given = dict(reducer.reducers.items())
    return {name: given.get(name, reducer.default_reducer) for name in names}
