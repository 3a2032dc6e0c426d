"""Type hints of parameters: which of them JSON can give a value of, and their strict form."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError
from typing_extensions import NotRequired, Required, TypedDict, is_typeddict

from metricreg.components.validation_errors import nearest
from metricreg.errors import cut, said_by
from metricreg.registry.former_names import NowCalled

INT64 = range(-(2**63), 2**63)
_ATOMS = (float, int, bool, str, type(None))
_CONTAINERS = (list, tuple, dict)
PART = 5000
LEARNED = '{"learned": 0.07}'
NO_GRADIENT = (
    "should be a number; a tensor that wants a gradient would not be learned. Give its value, .item(); or, where the "
    f"parameter takes a number that is learned, {LEARNED} with what it is at first"
)
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=(), arbitrary_types_allowed=False)


class Declared(torch.nn.Module):
    """What a declaration belongs to: the root of `Component`, which knows what to do with it."""

    kind: ClassVar[str] = ""
    former_names: ClassVar[tuple[str | tuple[str, str], ...]] = ()
    former_parameters: ClassVar[Mapping[str, Any]] = {}
    _taken: ClassVar[frozenset[str]] = frozenset()
    _parameters_model: ClassVar[type[BaseModel]]
    _former_parameters: ClassVar[dict[str, NowCalled]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Note what the classes of a kind have: names that no parameter of a component may take."""
        super().__init_subclass__(**keywords)
        if "kind" in vars(cls):
            cls._taken = frozenset(dir(cls)) - {"kind"}

    def effective_arguments(self) -> dict[str, Any]:
        """What stands for the arguments that were not given, where that is not the default in the signature."""
        return {}


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def keys_of(hint: Any) -> dict[str, tuple[Any, bool]]:
    """The keys of a TypedDict: the hint of each, and whether it is required."""
    found = {}
    for key, stated in get_type_hints(hint, include_extras=True).items():
        marked = get_origin(stated) in (Required, NotRequired)
        required = get_origin(stated) is Required if marked else key in hint.__required_keys__
        found[key] = (get_args(stated)[0] if marked else stated, required)
    return found


def mentions(hint: Any, kind: type[Declared]) -> bool:
    """Whether a hint asks for a component of a kind, alone or among others."""
    args = get_args(hint)
    return any(mentions(arg, kind) for arg in args) if args else isinstance(hint, type) and issubclass(hint, kind)


def undeclarable(hint: Any, inside: tuple[Any, ...] = ()) -> str | None:
    """Why JSON cannot give a value of this hint, which stands inside these TypedDicts, or None."""
    problem = _misplaced(hint)
    if problem is not None:
        return problem
    hint = _bare(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        bare = [_bare(member) for member in args]
        kinds = [m for m in bare if isinstance(m, type) and issubclass(m, Declared)]
        if len(kinds) > 1:
            return f"a union of two kinds ({' and '.join(k.__name__ for k in kinds)}) does not say which a name means"
        rivals = [m for m in bare if m is str or get_origin(m) in (dict, Literal) or is_typeddict(m) or _is_enum(m)]
        if kinds and rivals:
            return f"in {hint} a name or an object could be meant as {kinds[0].__name__} or as {rivals[0]}"
        return next((p for m in args if (p := undeclarable(m, inside))), None)
    if origin in _CONTAINERS:
        if origin is dict and _bare(args[0]) is not str:
            return "the keys of a JSON object are strings: hint it as dict[str, ...]"
        return next((p for m in args if m is not Ellipsis and (p := undeclarable(m, inside))), None)
    if origin is Literal:
        return None if all(isinstance(v, _ATOMS) for v in args) else f"{hint} has values that JSON does not have"
    if hint in _ATOMS or hint is None:
        return None
    if hint in _CONTAINERS:
        return f"the hint {hint.__name__} does not say what is in it, for example {hint.__name__}[float]"
    if is_typeddict(hint):
        if hint in inside:
            return f"{hint.__name__} holds itself; a declaration has an end"
        try:
            keys = keys_of(hint)
        except Exception as error:
            return f"the type hints of {hint.__name__} cannot be evaluated: {said_by(error)}"
        return next((p for m, _ in keys.values() if (p := undeclarable(m, (*inside, hint)))), None)
    if isinstance(hint, type) and issubclass(hint, Declared):
        return None if hint.kind else f"{hint.__name__} is no kind of component"
    if _is_enum(hint):
        return None if all(isinstance(m.value, _ATOMS) for m in hint) else f"{hint.__name__} has values not in JSON"
    return f"JSON cannot give a value of {hint}; use numbers, strings, Literal, lists, dicts, or a kind of component"


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _misplaced(hint: Any) -> str | None:
    """A constraint on a whole union, which has members that cannot be compared with it."""
    base, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    members = [m for m in _members(base) if m is not type(None)]
    if len(members) > 1 and any(isinstance(m, FieldInfo) and m.metadata for m in metadata):
        return f"write the constraint on the member it is for: Annotated[{_name(members[0])}, Field(...)] | ..."
    return None


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))


def strict(hint: Any) -> Any:
    """The hint with every scalar strict: no bool for a number, no string for either, numpy and 0-d tensors welcome."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, *metadata = args
        constraints = [c for m in metadata if isinstance(m, FieldInfo) for c in m.metadata]
        members = [m for m in _members(base) if m is not type(None)]
        if constraints and len(members) == 1 and members[0] is not base:  # on the member it reaches the JSON Schema
            base = _annotated(members[0], *constraints) | None
            rest = [m for m in metadata if not isinstance(m, FieldInfo)]
            rest += [Field(default=m.default) for m in metadata if isinstance(m, FieldInfo) and not m.is_required()]
            return _annotated(strict(base), *rest) if rest else strict(base)
        bare, *checks = get_args(strict(base)) if get_origin(strict(base)) is Annotated else (strict(base),)
        return _annotated(bare, *metadata, *checks)  # behind the constraints, which only so reach the JSON Schema
    if hint in _SCALARS:
        return Annotated[hint, Strict(), BeforeValidator(_SCALARS[hint])]
    if origin in (Union, types.UnionType):
        return Union[tuple(strict(member) for member in args)]  # noqa: UP007 - built from a tuple
    if origin is Literal:
        return Annotated[hint, BeforeValidator(one_of(*args))]
    if origin in _CONTAINERS:
        made = origin[tuple(m if m is Ellipsis else strict(m) for m in args)]
        is_long = (origin is list or Ellipsis in args) and not mentions(hint, Declared)
        return Annotated[made, WrapValidator(_in_parts)] if is_long else made
    if is_typeddict(hint):
        keys = {k: (Required if must else NotRequired)[strict(h)] for k, (h, must) in keys_of(hint).items()}
        make: Any = TypedDict
        made = make(hint.__name__, keys)
        made.__pydantic_config__ = CONFIG
        return Annotated[made, BeforeValidator(_known_keys(tuple(keys)))]
    if _is_enum(hint):
        return Annotated[hint, BeforeValidator(one_of(*(member.value for member in hint)))]
    return hint


def _known_keys(keys: tuple[str, ...]) -> Callable[[Any], Any]:
    """What refuses other keys of an object, with the one that is meant."""

    def check(value: Any) -> Any:
        given = [key for key in value if isinstance(key, str)] if isinstance(value, dict) else []
        lines = []
        for key in (key for key in given if key not in keys):
            message = f"unknown parameter '{cut(key)}'; {nearest(key, keys)}"
            error = PydanticCustomError("unknown_key", "{message}", {"message": message})
            lines.append(InitErrorDetails(type=error, loc=(key,), input=value[key]))
        if lines:
            raise ValidationError.from_exception_data("object", lines)
        return value

    return check


def _annotated(*parts: Any) -> Any:
    annotated: Any = Annotated
    return annotated[parts]


def _in_parts(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A list that is checked up to the part with the first wrong item: of each pydantic keeps half a kilobyte."""
    ends = range(PART, len(value), PART) if isinstance(value, list | tuple) else ()
    end = next((end for end in ends if _has_wrong_item(value[end - PART : end], check)), None)
    return check(value if end is None else value[:end])


def _has_wrong_item(part: Any, check: ValidatorFunctionWrapHandler) -> bool:
    try:
        check(part)
    except ValidationError as error:
        return any(line["loc"] for line in error.errors(include_url=False, include_input=False))  # not for its length
    return False


def _item(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.requires_grad:
        raise PydanticCustomError("no_gradient", NO_GRADIENT)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0):
        try:
            return value.item()
        except RuntimeError:  # a tensor without data, on the meta device
            return value
    return value


def one_of(*choices: Any) -> Callable[[Any], Any]:
    """What looks whether a value may be one of some: 1.0 is 1, and neither True nor "1" is."""
    numbers = [choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
    flags = [choice for choice in choices if isinstance(choice, bool)]
    texts = [choice for choice in choices if isinstance(choice, str)]
    *first, last = map(repr, choices)
    expected = f"{', '.join(first)} or {last}" if first else last

    def check(value: Any) -> Any:
        value = as_int(value)
        if isinstance(value, bool) and value not in flags:
            raise PydanticCustomError("literal_bool", "should not be true or false")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if (is_number and value not in numbers) or (isinstance(value, str) and value not in texts):
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value

    return check


def _as_float(value: Any) -> Any:
    value = _item(value)
    if not isinstance(value, int | float):  # pydantic would take whatever has a __float__, such as a tensor of one
        raise PydanticKnownError("float_type")
    if type(value) is int and abs(value) > sys.float_info.max:
        raise PydanticCustomError("float_range", "should be a number that a float can hold")
    return value


def as_int(value: Any) -> Any:
    """An integer of at most 64 bits, also from 4.0, numpy, or a 0-d tensor; anything else is left to be refused."""
    value = _item(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and value not in INT64:
        raise PydanticCustomError("int_range", "should be an integer of at most 64 bits")
    return value


_SCALARS: dict[Any, Any] = {float: _as_float, int: as_int, bool: _item, str: _item}
