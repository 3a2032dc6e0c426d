"""What a registered component says of itself, for the command line and the documentation."""

from __future__ import annotations

import enum
import inspect
import json
import re
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from pydantic import TypeAdapter

from metricreg.components.component import Component, create
from metricreg.components.signature import MISSING, Parameter, former_parameters, parameter_docs, parameters_of
from metricreg.errors import said, said_by
from metricreg.registry import Registry, default_registry, import_path
from metricreg.registry.former_names import names_of


@dataclass(frozen=True)
class DescribedParameter:
    """One parameter, in words.

    Args:
        name: its name.
        type: its type and range.
        default: its default as JSON, or `required`.
        text: what the docstring says of it.
        former_names: names that it had before, which specs may still have.
    """

    name: str
    type: str
    default: str
    text: str
    former_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """A component, in words.

    Args:
        kind: one of the six kinds.
        name: the registered name.
        path: `package.module:Class`.
        distribution: the distribution that ships it.
        text: the docstring without its `Args:` section.
        parameters: what its signature declares.
        example: a spec of it.
        former_names: names that it had before, which specs may still have.
    """

    kind: str
    name: str
    path: str
    distribution: str
    text: str
    parameters: tuple[DescribedParameter, ...]
    example: Any
    former_names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def describe(kind: str, name: str, registry: Registry | None = None) -> Description:
    """Describe a registered component from its docstring and signature; by a former name, it is that of now.

    Raises:
        SpecError: an unknown kind or name.
        RegistrationError: a class that cannot be loaded or declared.
    """
    registry = default_registry() if registry is None else registry
    name = registry.current_name(kind, name)
    cls: Any = registry.get(kind, name)
    entry = registry.entry(kind, name)
    docs = parameter_docs(cls)
    declared = parameters_of(cls)
    parameters = tuple(
        DescribedParameter(
            p.name, _hint(p.hint), _default(registry, cls, p), docs.get(p.name, ""), _formers(cls, p.name)
        )
        for p in declared.values()
    )
    text = re.split(r"\nArgs:\n", inspect.cleandoc(cls.__dict__.get("__doc__") or ""))[0].strip()
    example = _example(registry, kind, name, list(declared.values()))
    _, *formers = names_of(registry, kind, name)
    return Description(kind, name, entry.path, entry.distribution, text, parameters, example, tuple(formers))


def _formers(cls: Any, name: str) -> tuple[str, ...]:
    return tuple(former for former, now in former_parameters(cls).items() if now.name == name)


def _example(registry: Registry, kind: str, name: str, parameters: list[Parameter]) -> Any:
    def is_taken(given: dict[str, Any]) -> bool:
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                create(kind, name, registry=registry, **given)
        except Exception:  # a plugin's __init__ may raise anything
            return False
        return True

    given = sample_arguments(parameters, is_taken, registry)
    return {"name": name, **given} if given else name


def sample_arguments(
    parameters: Iterable[Parameter], is_taken: Callable[[dict[str, Any]], bool], registry: Registry | None = None
) -> dict[str, Any]:
    """Values of the required parameters and, where a rule across parameters asks for one more, of that.

    Args:
        parameters: those that a component declares, without those whose values are known.
        is_taken: whether the component can be constructed of some.
        registry: whose components are samples; the default registry if None.
    """
    registry = default_registry() if registry is None else registry
    parameters = list(parameters)
    given = {p.name: _sample(registry, p.hint) for p in parameters if p.required}
    optional = [{}, *({p.name: _sample(registry, p.hint)} for p in parameters if not p.required)]
    return next((given | more for more in optional if is_taken(given | more)), given)


def _default(registry: Registry, cls: Any, parameter: Parameter) -> str:
    if parameter.default is MISSING:
        return "required"
    value = parameter.default
    if value is None:  # a class says what stands for None as default_<parameter>, a value or a method
        try:
            value = getattr(cls, f"default_{parameter.name}", None)
            value = value() if callable(value) else value
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # it may be a plugin's
            return said_by(error)
    if isinstance(value, Component):
        if registry.name_of(value.kind, type(value)) is None:
            return import_path(type(value))  # another registry may have a name for it, which is of no use here
        spec = value.to_spec(registry=registry)
        value = spec["name"] if len(spec) == 1 else spec
    try:
        return json.dumps(getattr(value, "value", value))
    except (TypeError, ValueError):
        return said(value)


def _hint(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [text for extra in args[1:] for text in _bounds(extra)]
        return f"{_hint(args[0])} {' and '.join(bounds)}" if bounds else _hint(args[0])
    if origin in (Union, types.UnionType):
        return " | ".join(_hint(member) for member in args)
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in args)
    if origin is dict:
        return f"object of {_grouped(args[1])}"
    if origin in (list, tuple):
        items = dict.fromkeys(_grouped(a) for a in args if a is not Ellipsis)
        return f"list of {', '.join(items)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " | ".join(json.dumps(member.value) for member in hint)
    if hint is type(None):
        return "null"
    words = {float: "number", int: "integer", bool: "boolean", str: "string"}
    return str(words.get(hint) or getattr(hint, "kind", "") or getattr(hint, "__name__", hint))


def _grouped(hint: Any) -> str:
    text = _hint(hint)
    return f"({text})" if " | " in text else text


def _bounds(extra: Any) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "of length >=", "max_length": "of length <="}
    parts = [extra, *getattr(extra, "metadata", ())]
    return [f"{sign} {getattr(part, key)}" for part in parts for key, sign in signs.items() if _has(part, key)]


def _has(part: Any, key: str) -> bool:
    return not isinstance(part, type) and getattr(part, key, None) is not None


def _sample(registry: Registry, hint: Any) -> Any:
    """A value that a parameter of this hint takes, for an example."""
    origin, args = get_origin(hint), get_args(hint)
    bare = args[0] if origin is Annotated else hint
    if bare in _SAMPLES:
        return next((value for value in _SAMPLES[bare] if takes(hint, value)), _SAMPLES[bare][0])
    if origin is Annotated:
        return _sample(registry, bare)
    if origin in (Union, types.UnionType):
        return _sample(registry, next((member for member in args if member is not type(None)), args[0]))
    if origin is Literal:
        return args[0]
    if origin is dict:
        return {"pos_loss": _sample(registry, args[1])}
    if origin in (list, tuple):
        return [_sample(registry, member) for member in args if member is not Ellipsis]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint)).value
    kind = getattr(hint, "kind", "")
    known = registry.names(kind) if kind in _NAMES else ()
    return next((name for name in (_NAMES.get(kind), *known) if name in known), None)


_NAMES = {
    "distance": "lp",
    "loss": "contrastive",
    "reducer": "mean",
    "regularizer": "lp",
    "miner": "batch_hard",
    "match": "share_any",
}
_SAMPLES: dict[Any, tuple[Any, ...]] = {
    float: (0.5, 2.0, 10.0, 100.0, -0.5, -10.0),
    int: (2, 3, 5, 10, 100, 1, 0, -2, -10),
    bool: (True,),
    str: ("text",),
}


def takes(hint: Any, value: Any) -> bool:
    """Whether a parameter of a hint takes a value."""
    try:
        TypeAdapter(hint).validate_python(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a validator in the hint may raise anything
        return False
    return True


__all__ = ["DescribedParameter", "Description", "describe", "sample_arguments", "takes"]
