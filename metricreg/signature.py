"""An `__init__` signature as a declaration: parameters, their model, and what cannot be declared."""

from __future__ import annotations

import enum
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from typing_extensions import Unpack, is_typeddict

from metricreg.errors import RegistrationError

MISSING: Any = inspect.Parameter.empty

RESERVED = frozenset({"name", *dir(torch.nn.Module), *vars(torch.nn.Module())})
_INT64 = range(-(2**63), 2**63)
_ATOMS = (float, int, bool, str, type(None))
_CONTAINERS = (list, tuple, dict)


class Declared(torch.nn.Module):
    """What a declaration belongs to: the root of `Component`, which knows what to do with it."""

    kind: ClassVar[str] = ""
    _parameters_model: ClassVar[type[BaseModel]]


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its hint with scalars made strict, and its default or `MISSING`."""

    name: str
    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a spec has to give it."""
        return self.default is MISSING


def call_signature(cls: type) -> inspect.Signature:
    """The signature of `cls.__init__` without `self`."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def parameters_of(cls: type[Declared]) -> dict[str, Parameter]:
    """Read the declaration of a component, `**slots: Unpack[SomeTypedDict]` flattened.

    Raises:
        RegistrationError: a parameter that JSON could not give, or that would not survive the round trip.
    """
    try:
        hints = get_type_hints(cls.__init__, include_extras=True)
    except Exception as error:
        raise _refusal(cls, f"its type hints cannot be evaluated: {type(error).__name__}: {error}") from error
    found: dict[str, Parameter] = {}
    for p in call_signature(cls).parameters.values():
        if p.kind is p.POSITIONAL_ONLY:
            raise _refusal(cls, f"parameter '{p.name}' is positional-only; a spec gives parameters by name")
        if p.kind is p.VAR_POSITIONAL:
            raise _refusal(cls, f"'*{p.name}' has no names that a spec could give; take a list instead")
        hint = hints.get(p.name, MISSING)
        if hint is MISSING:
            raise _refusal(cls, f"parameter '{p.name}' has no type hint")
        if p.kind is p.VAR_KEYWORD:
            found |= {slot.name: slot for slot in _slots(cls, p.name, hint)}
        else:
            found[p.name] = _parameter(cls, p.name, hint, p.default)
    return found


def _slots(cls: type[Declared], name: str, hint: Any) -> Iterator[Parameter]:
    (slots,) = get_args(hint) if get_origin(hint) is Unpack else (None,)
    if slots is None or not is_typeddict(slots):
        raise _refusal(cls, f"'**{name}' must be hinted as Unpack[SomeTypedDict], for example Unpack[LossSlots]")
    for slot, slot_hint in get_type_hints(slots, include_extras=True).items():
        if slot in slots.__required_keys__:
            default = MISSING
        else:
            stated = [m.default for m in get_args(slot_hint) if isinstance(m, FieldInfo) and not m.is_required()]
            default = stated[-1] if stated else None
        yield _parameter(cls, slot, slot_hint, default)


def _parameter(cls: type[Declared], name: str, hint: Any, default: Any) -> Parameter:
    if name in RESERVED:
        raise _refusal(cls, f"the parameter name '{name}' is taken by specs or by torch.nn.Module; choose another")
    problem = _undeclarable(hint)
    if problem is not None:
        raise _refusal(cls, f"parameter '{name}': {problem}")
    if isinstance(default, Declared):
        raise _refusal(cls, f"the default of '{name}' is a component, shared by all instances; use None and make it")
    if isinstance(default, list | dict | set):
        raise _refusal(cls, f"the default of '{name}' is mutable; use a tuple or None")
    return Parameter(name, strict(hint), default)


def parameters_model(cls: type[Declared]) -> type[BaseModel]:
    """The pydantic model of a component's parameters; made once a class."""
    model: type[BaseModel] | None = cls.__dict__.get("_parameters_model")
    if model is None:
        parameters = parameters_of(cls)
        fields: dict[str, Any] = {p.name: (p.hint, ... if p.required else p.default) for p in parameters.values()}
        config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=(), arbitrary_types_allowed=False)
        try:
            model = create_model(cls.__name__, __config__=config, **fields)
        except Exception as error:
            raise _refusal(cls, f"{type(error).__name__}: {error}") from error
        for p in parameters.values():
            if not p.required:
                _check_default(cls, model, p)
        cls._parameters_model = model
    return model


def _check_default(cls: type[Declared], model: type[BaseModel], parameter: Parameter) -> None:
    try:
        model.__pydantic_validator__.validate_assignment(model.model_construct(), parameter.name, parameter.default)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
        raise _refusal(
            cls, f"the default of '{parameter.name}', {parameter.default!r}, does not fit its own hint: {message}"
        ) from error


def _refusal(cls: type, reason: str) -> RegistrationError:
    return RegistrationError(f"{cls.__module__}.{cls.__qualname__} cannot be declared as a component: {reason}")


# -- hints ----------------------------------------------------------------------------------------------------------


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _undeclarable(hint: Any) -> str | None:
    """Why JSON cannot give a value of this hint, or None."""
    hint = _bare(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        bare = [_bare(member) for member in args]
        kinds = [m for m in bare if isinstance(m, type) and issubclass(m, Declared)]
        if len(kinds) > 1:
            return f"a union of two kinds ({' and '.join(k.__name__ for k in kinds)}) does not say which a name means"
        rivals = [m for m in bare if m is str or get_origin(m) in (dict, Literal) or is_typeddict(m)]
        if kinds and rivals:
            return f"in {hint} a name or an object could be meant as {kinds[0].__name__} or as {rivals[0]}"
        return next((p for m in args if (p := _undeclarable(m))), None)
    if origin in _CONTAINERS:
        if origin is dict and _bare(args[0]) is not str:
            return "the keys of a JSON object are strings: hint it as dict[str, ...]"
        return next((p for m in args if m is not Ellipsis and (p := _undeclarable(m))), None)
    if origin is Literal:
        return None if all(isinstance(v, _ATOMS) for v in args) else f"{hint} has values that JSON does not have"
    if hint in _ATOMS or hint is None:
        return None
    if hint in _CONTAINERS:
        return f"the hint {hint.__name__} does not say what is in it, for example {hint.__name__}[float]"
    if is_typeddict(hint):
        return next((p for m in get_type_hints(hint).values() if (p := _undeclarable(m))), None)
    if isinstance(hint, type) and issubclass(hint, Declared):
        return None if hint.kind else f"{hint.__name__} is no kind of component"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return None if all(isinstance(m.value, _ATOMS) for m in hint) else f"{hint.__name__} has values not in JSON"
    return f"JSON cannot give a value of {hint}; use numbers, strings, Literal, lists, dicts, or a kind of component"


def strict(hint: Any) -> Any:
    """The hint with every scalar strict: no bool for a number, no string for either, numpy and 0-d tensors welcome."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, *metadata = args
        scalar = [Strict(), BeforeValidator(_SCALARS[base])] if base in _SCALARS else []
        parts = (base if scalar else strict(base), *metadata, *scalar)
        return Annotated.__class_getitem__(parts)
    if hint in _SCALARS:
        return Annotated[hint, Strict(), BeforeValidator(_SCALARS[hint])]
    if origin in (Union, types.UnionType):
        return Union[tuple(strict(member) for member in args)]  # noqa: UP007 - built from a tuple
    if origin is Literal and not any(isinstance(value, bool) for value in args):
        return Annotated[hint, BeforeValidator(no_bool)]  # True equals 1
    if origin in _CONTAINERS:
        return origin[tuple(m if m is Ellipsis else strict(m) for m in args)]
    return hint


def _item(value: Any) -> Any:
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0):
        return value.item()
    return value


def no_bool(value: Any) -> Any:
    """Refuse a bool where a number or a word is meant, though True equals 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("literal_bool", "should not be true or false")
    return value


def _as_float(value: Any) -> Any:
    value = _item(value)
    if type(value) is int and abs(value) > 2**1023:
        raise PydanticCustomError("float_range", "should be a number that a float can hold")
    return value


def as_int(value: Any) -> Any:
    """An integer of at most 64 bits, also from 4.0, numpy, or a 0-d tensor; anything else is left to be refused."""
    value = _item(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and value not in _INT64:
        raise PydanticCustomError("int_range", "should be an integer of at most 64 bits")
    return value


_SCALARS: dict[Any, Any] = {float: _as_float, int: as_int, bool: _item, str: lambda value: value}


# -- documentation --------------------------------------------------------------------------------------------------


def summary(cls: type) -> str:
    """The first paragraph of a docstring of the class's own, on one line."""
    paragraphs = inspect.cleandoc(cls.__dict__.get("__doc__") or "").split("\n\n")
    return " ".join(paragraphs[0].split())


def parameter_docs(cls: type) -> dict[str, str]:
    """What the `Args:` section of a class's docstring, its bases' included, says of each parameter."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(owner.__dict__.get("__doc__") or "").partition("\nArgs:\n")
        name = ""
        for line in section.split("\n"):
            if line and not line.startswith(" "):
                break
            entry = re.match(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line)
            if entry:
                name = entry[1]
                found[name] = entry[2].strip()
            elif name and line.strip():
                found[name] += " " + line.strip()
    return found
