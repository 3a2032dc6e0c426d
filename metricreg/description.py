"""What a registered component says of itself, for the command line and the documentation."""

from __future__ import annotations

import inspect
import json
import re
import types
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from metricreg.component import Component
from metricreg.registry import Registry, default_registry
from metricreg.signature import MISSING, Parameter, parameter_docs, parameters_model, parameters_of


@dataclass(frozen=True)
class DescribedParameter:
    """One parameter, in words.

    Args:
        name: its name.
        type: its type and range.
        default: its default as JSON, or `required`.
        text: what the docstring says of it.
    """

    name: str
    type: str
    default: str
    text: str


@dataclass(frozen=True)
class Description:
    """A component, in words.

    Args:
        kind: one of the five kinds.
        name: the registered name.
        path: `package.module:Class`.
        distribution: the distribution that ships it.
        text: the docstring without its `Args:` section.
        parameters: what its signature declares.
        example: a spec of it.
    """

    kind: str
    name: str
    path: str
    distribution: str
    text: str
    parameters: tuple[DescribedParameter, ...]
    example: Any

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def describe(kind: str, name: str, registry: Registry | None = None) -> Description:
    """Describe a registered component from its docstring and signature.

    Raises:
        SpecError: an unknown kind or name.
        RegistrationError: a class that cannot be loaded or declared.
    """
    registry = default_registry() if registry is None else registry
    cls: Any = registry.get(kind, name)
    entry = registry.entry(kind, name)
    docs = parameter_docs(cls)
    model = parameters_model(cls)
    parameters = tuple(
        DescribedParameter(p.name, _hint(p.hint), _default(cls, p), docs.get(p.name, ""))
        for p in parameters_of(cls).values()
    )
    required = {f: _sample(i.annotation) for f, i in model.model_fields.items() if i.is_required()}
    text = re.split(r"\nArgs:\n", inspect.cleandoc(cls.__dict__.get("__doc__") or ""))[0].strip()
    example = {"name": name, **required} if required else name
    return Description(kind, name, entry.path, entry.distribution, text, parameters, example)


def _default(cls: Any, parameter: Parameter) -> str:
    if parameter.default is MISSING:
        return "required"
    value = parameter.default
    if value is None:  # a class says what stands for None as default_<parameter>, a value or a method
        value = getattr(cls, f"default_{parameter.name}", None)
        value = value() if callable(value) else value
    if isinstance(value, Component):
        spec = value.to_spec()
        value = spec["name"] if len(spec) == 1 else spec
    return json.dumps(getattr(value, "value", value))


def _hint(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [text for extra in args[1:] for text in _bounds(extra)]
        return " ".join([_hint(args[0]), *bounds])
    if origin in (Union, types.UnionType):
        return " | ".join(_hint(member) for member in args)
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in args)
    if origin is dict:
        return f"object of {_hint(args[1])}"
    if origin in (list, tuple):
        return f"list of {_hint(next(a for a in args if a is not Ellipsis))}"
    if hint is type(None):
        return "null"
    words = {float: "number", int: "integer", bool: "boolean", str: "string"}
    return str(words.get(hint) or getattr(hint, "kind", "") or getattr(hint, "__name__", hint))


def _bounds(extra: Any) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >=", "max_length": "length <="}
    parts = [extra, *getattr(extra, "metadata", ())]
    return [f"{sign} {getattr(part, key)}" for part in parts for key, sign in signs.items() if _has(part, key)]


def _has(part: Any, key: str) -> bool:
    return not isinstance(part, type) and getattr(part, key, None) is not None


def _sample(hint: Any) -> Any:
    """A value that a required parameter of this hint takes, for an example."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _sample(args[0])
    if origin in (Union, types.UnionType):
        return _sample(args[0])
    if origin is Literal:
        return args[0]
    if origin is dict:
        return {"name": _sample(args[1])}
    if origin in (list, tuple):
        return [_sample(args[0])]
    kind = getattr(hint, "kind", "")
    samples = {"loss": "contrastive", "reducer": "mean", "distance": "lp", "regularizer": "lp", "miner": "batch_hard"}
    return samples.get(kind, {float: 0.5, int: 2, bool: True, str: "text"}.get(hint))


__all__ = ["DescribedParameter", "Description", "describe"]
