"""Objects of pytorch-metric-learning as specs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metricreg import MetricregError, Pipeline, create, default_registry, validate
from metricreg.components.component import Component
from metricreg.components.resolve import holds_component
from metricreg.components.signature import parameters_of
from metricreg.errors import cut
from metricreg_pml.arguments import NoCounterpartError, arguments_of, identity, reducers_of, shortest
from metricreg_pml.components import RENAMED
from metricreg_pml.differences import PMLDifferenceWarning, differences_of

Spec = dict[str, Any]

UNUSED = (
    *("collect_stats", "AngularMiner.distance", "CenterInvariantRegularizer.distance"),
    *("DistanceWeightedMiner.distance", "EmbeddingsAlreadyPackagedAsTriplets.distance", "LpRegularizer.distance"),
    *("P2SGradLoss.distance", "SparseCentersRegularizer.distance", "ZeroMeanRegularizer.distance"),
)
"""Parameters that change no value there, or stand for what is so by definition here."""

DEFAULTS = {"default": "mean", "distance": "cosine", "reducer": "mean"}
"""What metricreg puts into an empty slot, where its class does not say it."""


def to_spec(theirs: Any, *, miner: Any = None, fallback: bool = False) -> Spec:
    """The spec that stands for an object of pytorch-metric-learning.

    Of a loss it is a document that `metricreg.build` takes; of a miner, distance, reducer or regularizer what stands in
    one in its place. The same values and gradients come of it, but where pytorch-metric-learning is wrong.

    Args:
        theirs: an object of pytorch-metric-learning, or what a spec with `pml/` in it built.
        miner: the miner that a loss is used with.
        fallback: give a `pml/` component where metricreg has no counterpart, instead of raising.

    Raises:
        NoCounterpartError: metricreg has no counterpart.

    Warns:
        PMLDifferenceWarning: where the two differ.
    """
    if miner is not None and _kind(miner) != "miner":
        raise NoCounterpartError(f"miner= takes a miner, and {type(miner).__name__} is none")
    if isinstance(theirs, Pipeline):
        loss, miner = theirs.loss, theirs.miner if miner is None else miner
        document = theirs.to_spec()
    else:
        loss, document = theirs, {"version": 1}
    writer = _Writer(fallback)
    found = writer.spec(loss)
    if _kind(loss) == "loss":
        found = document | {"loss": _short(found)}
        found |= {} if miner is None else {"miner": _short(writer.spec(miner))}
    elif miner is not None:
        raise NoCounterpartError(f"a miner goes with a loss, and {type(loss).__name__} is none")
    if writer.differences:
        listed = "".join(f"\n  {each}" for each in dict.fromkeys(writer.differences))
        warnings.warn(
            f"this spec differs from pytorch-metric-learning (PML) where that is wrong:{listed}",
            PMLDifferenceWarning,
            stacklevel=2,
        )
    return found


def unwrapped(theirs: Any) -> Any:
    """The object of pytorch-metric-learning in a `pml/` component; anything else as it is."""
    return theirs.pml if hasattr(type(theirs), "theirs") else theirs


def _kind(theirs: Any) -> str:
    return theirs.kind if isinstance(theirs, Component) else identity(theirs)[0]


def _own(theirs: Any) -> Component | None:
    """A component of metricreg's, perhaps in the form that pytorch-metric-learning calls."""
    found = getattr(theirs, "native", theirs)
    return found if isinstance(found, Component) else None


def _given_to(own: Component) -> dict[str, Any]:
    """The arguments with which a component was constructed that are components, or hold some."""
    values = own._construction[1]
    return {key: value for key, value in values.items() if holds_component(value)}


def _short(spec: Spec) -> Spec | str:
    """The name alone, where there are no parameters, as metricreg writes it."""
    return str(spec["name"]) if len(spec) == 1 else spec


def _json(value: Any, spec: Callable[[Any], Spec]) -> Any:
    """An argument in the form of JSON, components as `spec` writes them."""
    if isinstance(value, nn.Module):
        return _short(spec(value))
    if isinstance(value, dict):
        return {key: _json(each, spec) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each, spec) for each in value]
    if isinstance(value, Tensor) and value.requires_grad:
        raise NoCounterpartError('it learns a number, which a spec says by {"learned": 0.07} for the number')
    return shortest(torch.as_tensor(value))[0] if getattr(value, "ndim", None) == 0 else value


class _Writer:
    """Writes specs of metricreg's own components, and collects where those differ.

    Args:
        fallback: whether to write `pml/` components where there is no counterpart.
    """

    def __init__(self, fallback: bool) -> None:
        self.fallback = fallback
        self.differences: list[str] = []

    def spec(self, theirs: Any) -> Spec:
        """The spec of an object."""
        theirs = unwrapped(theirs)
        own = _own(theirs)
        if own is not None:  # with what is in it, which may be no component of metricreg's own
            return own.to_spec() | {key: _json(value, self.spec) for key, value in _given_to(own).items()}
        kind, name = identity(theirs)
        before = len(self.differences)
        try:
            found = self._counterpart(theirs, kind, name)
            _check(kind, found)
        except MetricregError as error:
            if not self.fallback:
                raise NoCounterpartError(
                    f"no {kind} of metricreg's own stands for this {type(theirs).__name__}: {error}{_way_out(theirs)}"
                ) from error
            del self.differences[before:]
            return exact(theirs)
        self.differences += differences_of(theirs)
        return found

    def _counterpart(self, theirs: Any, kind: str, name: str) -> Spec:
        cls, given = type(theirs).__name__, arguments_of(theirs)
        if cls == "BatchHardMiner" and given.keys() & {"allowed_pos_range", "allowed_neg_range"}:
            name, given = "batch_easy_hard", {"pos_strategy": "hard", "neg_strategy": "hard", **given}
        if kind == "loss" and "reducer" in given:
            given["reducer"] = _reducer(theirs)
            if given["reducer"] is None:
                del given["reducer"]
        if name not in default_registry().names(kind):
            raise NoCounterpartError(f"metricreg has no {kind} '{name}'")
        native = default_registry().get(kind, name)
        parameters = parameters_of(native)
        found: Spec = {"name": name}
        for parameter, value in given.items():
            if _is_unused(theirs, parameter):
                continue
            here = RENAMED.get(parameter, parameter)
            if here not in parameters:
                raise NoCounterpartError(f"{parameter} is {_json(value, exact)!r}, and '{name}' has no such parameter")
            said = _json(value, self.spec)
            if said is not None and not _is_default(native, here, parameters[here].default, said):
                found[here] = said
        return found


def _way_out(theirs: Any) -> str:
    try:
        return f". Keep it as {cut(str(exact(theirs)), 300)}, which fallback=True writes"
    except NoCounterpartError:  # nor does a `pml/` component, for the same reason
        return ""


def _is_unused(theirs: Any, parameter: str) -> bool:
    """Whether an argument changes no value there, or stands for what is so by definition here."""
    cls = type(theirs).__name__
    if parameter == "p" and cls in ("CosineSimilarity", "DotProductSimilarity", "SNRDistance"):
        return not theirs.normalize_embeddings
    if cls in ("CenterInvariantRegularizer", "SparseCentersRegularizer") and theirs.distance.p != 2:
        return False
    return parameter in UNUSED or f"{cls}.{parameter}" in UNUSED


def _reducer(theirs: Any) -> Any:
    """The reducer of a loss, or a mapping that is the spec of several; None where none is looked at."""
    each = reducers_of(theirs)
    features = [exact(each.pop(name)) for name in ("variance_loss1", "variance_loss2") if name in each]
    if any(spec != {"name": "pml/mean"} for spec in features):
        raise NoCounterpartError("it reduces features otherwise than by their mean")
    one = _alike(each)
    return {"name": "multiple", "reducers": each} if one is None and each else one


def _alike(each: dict[str, Any]) -> Any:
    """One of several reducers, if they are alike."""
    specs = [exact(reducer) for reducer in each.values()]
    return next(iter(each.values())) if specs and all(spec == specs[0] for spec in specs) else None


def _is_default(native: type[Any], slot: str, default: Any, said: Any) -> bool:
    """Whether metricreg's component has a value, or a component, where none is given."""
    if default is not None or slot not in DEFAULTS:
        return bool(said == default)
    kind = "distance" if slot == "distance" else "reducer"
    make = getattr(native, f"default_{slot}", None)
    whole = create(kind, DEFAULTS[slot]) if make is None else make()
    return bool(_made(kind, said).to_spec(defaults=True) == whole.to_spec(defaults=True))


def _made(kind: str, said: Any) -> Any:
    spec: Spec = {"name": said} if isinstance(said, str) else said
    return create(kind, spec["name"], **{key: value for key, value in spec.items() if key != "name"})


def _check(kind: str, spec: Spec) -> None:
    """Refuse what metricreg refuses: an argument out of its range, or a distance that a loss is not defined for."""
    if kind != "loss":
        _made(kind, spec)
    elif problems := validate({"loss": spec}):
        raise NoCounterpartError("; ".join(map(str, problems)))


# -- pml/ components --------------------------------------------------------------------------------------------------


def exact(theirs: Any) -> Spec:
    """The spec of the `pml/` component that makes an object like this one."""
    own = _own(theirs)
    if own is not None:
        return own.to_spec()
    kind, name = identity(theirs)
    given = arguments_of(theirs)
    if kind == "loss" and "reducer" in given:
        given["reducer"] = _alike(reducers_of(theirs)) or given["reducer"]
    for slot in ("distance", "reducer"):
        default = getattr(theirs, f"get_default_{slot}", None)
        if default is not None and isinstance(given.get(slot), nn.Module) and exact(given[slot]) == exact(default()):
            del given[slot]
    return {"name": f"pml/{name}"} | {key: _json(value, exact) for key, value in given.items()}
