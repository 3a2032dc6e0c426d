"""A component for every class of the installed pytorch-metric-learning, made when it is first asked for.

`metricreg_pml.components.PMLTripletMarginLoss` is `TripletMarginLoss` of pytorch-metric-learning, with hints.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from metricreg import default_registry
from metricreg_pml.catalogue import LIBRARY, MODULES, PREFIX, components
from metricreg_pml.distance import PMLDistance
from metricreg_pml.loss import PMLLoss
from metricreg_pml.miner import PMLMiner
from metricreg_pml.parameters import parameters_of
from metricreg_pml.reducer import PMLReducer
from metricreg_pml.regularizer import PMLRegularizer

BASES: dict[str, type[Any]] = {
    "distance": PMLDistance,
    "loss": PMLLoss,
    "miner": PMLMiner,
    "reducer": PMLReducer,
    "regularizer": PMLRegularizer,
}
SHAPES = {
    "distance": "Of embeddings `[N, D]` and `[M, D]` it makes `[N, M]`.",
    "loss": "It takes embeddings `[N, D]` and labels `[N]`, and looks at the whole batch at once.",
    "miner": "It takes embeddings `[N, D]` and labels `[N]`, and looks at the whole batch at once.",
    "reducer": "It takes the values of a term, `[N]`, and looks at those of the whole batch at once.",
    "regularizer": "It takes rows `[N, D]`.",
}
RENAMED = {
    "aggregation_func": "aggregation",
    "default_reducer": "default",
    "descriptors_dim": "embedding_size",
    "lambdaC": "lambda_c",
    "normalize_embeddings": "normalize",
    "smooth_loss": "smooth",
    "weight_init_func": "weight_init",
}
"""Parameters that are called otherwise in metricreg's own components."""


def __getattr__(name: str) -> Any:
    """The component of a class, made once (PEP 562)."""
    for kind in MODULES:
        for component, cls in components(kind).items():
            if name == PREFIX + cls:
                made = _made(kind, component, cls)
                globals()[name] = made
                return made
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [PREFIX + cls for kind in MODULES for cls in components(kind).values()]


def _made(kind: str, component: str, cls: str) -> type[Any]:
    theirs = getattr(import_module(f"{LIBRARY}.{MODULES[kind]}"), cls)
    base, parameters = BASES[kind], parameters_of(theirs)

    def __init__(self: Any, **arguments: Any) -> None:  # noqa: N807 - it becomes the class's own
        base.__init__(self, **arguments)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    init: Any = __init__
    init.__signature__ = inspect.Signature([own, *parameters.values()])
    init.__annotations__ = {name: each.annotation for name, each in parameters.items()} | {"return": None}
    init.__qualname__ = f"{PREFIX}{cls}.__init__"
    members = {
        "__doc__": _documentation(kind, component, cls, parameters),
        "__init__": init,
        "__module__": __name__,
        "theirs": theirs,
    }
    return types.new_class(PREFIX + cls, (base,), {}, lambda namespace: namespace.update(members))


def _documentation(kind: str, component: str, cls: str, parameters: dict[str, inspect.Parameter]) -> str:
    described = dict(_own_words(kind, component))
    lines = [f"`{cls}` of pytorch-metric-learning, computed by it.", "", SHAPES[kind]]
    if parameters:
        lines += ["", "Args:"]
    for name in parameters:
        words = described.get(RENAMED.get(name, name), f"as of {cls}.")
        lines.append(f"    {name}: {words}")
    return "\n".join(lines)


def _own_words(kind: str, component: str) -> Iterator[tuple[str, str]]:
    """What metricreg says of the parameters of its own component of a name."""
    from metricreg.components.signature import parameter_docs

    registry = default_registry()
    if component in registry.names(kind):
        yield from parameter_docs(registry.get(kind, component)).items()
