"""The parameters of a class of pytorch-metric-learning, read from its signature, with the hints that it lacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Optional

import torch
from pydantic import Field
from pytorch_metric_learning.reducers import per_anchor_reducer
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor

from metricreg import Distance, Loss, Miner, Reducer, Regularizer
from metricreg_pml.catalogue import LIBRARY

Init = Literal[
    "normal", "uniform", "xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform", "orthogonal"
]
Strategy = Literal["easy", "semihard", "hard", "all"]

WHOLE_NUMBERS = (
    *("LargeMarginSoftmaxLoss.margin", "SphereFaceLoss.margin"),
    *("K", "centers_per_class", "descriptors_dim", "embedding_size", "l", "memory_size", "n_bins", "neg_per_bin"),
    *("num_bins", "num_classes", "pos_per_bin", "sub_centers"),
)
"""Parameters that are integers greater than 0; a default such as `margin=4` does not say so."""

POSITIVE = (
    *("LpDistance.power", "MultiSimilarityLoss.alpha", "MultiSimilarityLoss.beta", "SNRDistance.power"),
    *("SoftTripleLoss.gamma", "anneal", "delta", "eps", "temperature"),
)
"""Parameters that are greater than 0."""

HINTS: dict[str, Any] = {
    **dict.fromkeys(WHOLE_NUMBERS, Annotated[int, Field(gt=0)]),
    **dict.fromkeys(POSITIVE, Annotated[float, Field(gt=0)]),
    "Tn": float,
    "aggregation_func": Literal["mean", "sum"],
    "allowed_neg_range": tuple[float, float],
    "allowed_pos_range": tuple[float, float],
    "collect_stats": bool,
    "default_reducer": Reducer,
    "distance": Distance,
    "embedding_regularizer": Regularizer,
    "loss": Loss,
    "losses": list[Loss] | dict[str, Loss],
    "margin": float,
    "miner": Miner,
    "miners": list[Miner | None] | dict[str, Miner],
    "neg_strategy": Strategy,
    "pos_strategy": Strategy,
    "reducer": Reducer,
    "reducers": dict[str, Reducer],
    "triplets_per_anchor": Annotated[int, Field(gt=0)] | Literal["all"],
    "type_of_triplets": Literal["all", "easy", "semihard", "hard"],
    "variant": Literal["Ds", "Dq", "Iu", "Ib", "O"],
    "weight_init_func": Init,
    "weight_regularizer": Regularizer,
    "weights": list[float] | dict[str, float],
    "ClassWeightedReducer.weights": list[float],
}
"""Hints of parameters, by their name; of others the default says whether they are a number, a text, or yes or no."""

GIVEN_BY_THE_CLASS: dict[str, tuple[str, ...]] = {
    "AvgNonZeroReducer": ("low",),
    "BatchHardMiner": ("pos_strategy", "neg_strategy"),
    "CosineSimilarity": ("normalize_embeddings",),
    "VICRegLoss": ("distance", "embedding_regularizer", "embedding_reg_weight"),
}
"""Parameters of a base class that a class gives itself, or refuses."""
GIVEN_BY_EVERY_CLASS = ("is_inverted", "mat_based_loss")


class UnknownParameterError(TypeError):
    """A parameter of a class of pytorch-metric-learning of which nothing says what it takes."""


def parameters_of(theirs: type) -> dict[str, inspect.Parameter]:
    """The parameters of a class, those that it hands on to its bases included, with hints; required ones first.

    Raises:
        UnknownParameterError: one without a default that this package has no hint for.
    """
    found: dict[str, inspect.Parameter] = {}
    left_out = {"self", *GIVEN_BY_EVERY_CLASS, *GIVEN_BY_THE_CLASS.get(theirs.__name__, ())}
    for base in theirs.__mro__:
        if "__init__" not in vars(base) or not base.__module__.startswith(LIBRARY):
            continue
        own = inspect.signature(vars(base)["__init__"]).parameters.values()
        for parameter in own:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.name not in left_out:
                found.setdefault(parameter.name, _hinted(theirs, parameter))
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in own):
            break
    return dict(sorted(found.items(), key=lambda item: item[1].default is not inspect.Parameter.empty))


def _hinted(theirs: type, parameter: inspect.Parameter) -> inspect.Parameter:
    name, default = parameter.name, parameter.default
    hint = HINTS.get(f"{theirs.__name__}.{name}", HINTS.get(name))
    if hint is None and parameter.annotation in (int, float, bool, str):
        hint = parameter.annotation
    if hint is None:
        known = type(default) in (bool, str)
        hint = type(default) if known else float if default is None or type(default) in (int, float) else None
    if hint is None:
        raise UnknownParameterError(
            f"the parameter '{name}' of pytorch-metric-learning's {theirs.__name__} is none that metricreg-pml knows; "
            "a newer metricreg-pml may: pip install -U metricreg-pml"
        )
    if inspect.isfunction(default):
        default = "mean"  # of aggregation_func, the only one
    if hint is float and type(default) is int:
        default = float(default)
    if default is None:
        hint = Optional[hint]  # noqa: UP045 - a hint that is no class has no |
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hint, default=default)


def _sum(values: Tensor, count: Tensor) -> Tensor:
    """What the values of each anchor add up to; for PerAnchorReducer."""
    return values.sum(1)


AGGREGATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": per_anchor_reducer.aggregation_func,
    "sum": _sum,
}

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "ClassWeightedReducer.weights": torch.tensor,
    "PerAnchorReducer.aggregation_func": AGGREGATIONS.__getitem__,
}
"""What a class takes for what JSON gives it."""


def converted(theirs: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the form that a class takes them in, but for components."""
    made = {}
    for name, value in arguments.items():
        convert = CONVERSIONS.get(f"{theirs.__name__}.{name}")
        made[name] = value if convert is None or value is None else convert(value)
    if made.get("weight_init_func") is not None:
        made["weight_init_func"] = TorchInitWrapper(getattr(torch.nn.init, f"{made['weight_init_func']}_"))
    return made
