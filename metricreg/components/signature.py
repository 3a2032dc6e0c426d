"""An `__init__` signature as a declaration: parameters, their model, and what cannot be declared."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import torch
from pydantic import AliasChoices, BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from typing_extensions import Unpack, is_typeddict

from metricreg.components.type_hints import CONFIG, Declared, keys_of, strict, undeclarable
from metricreg.errors import RegistrationError, cut, said, said_by
from metricreg.registry.former_names import NowCalled, name_and_version

MISSING: Any = inspect.Parameter.empty

RESERVED = frozenset({"name", "model_config", *dir(torch.nn.Module), *vars(torch.nn.Module())})


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
    """The signature of `cls.__init__` without `self`; empty where no class of its own has one."""
    if cls.__init__ is torch.nn.Module.__init__:  # type: ignore[misc]
        return inspect.Signature()
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
        raise _refusal(cls, f"its type hints cannot be evaluated: {said_by(error)}") from error
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
    for slot, (slot_hint, required) in keys_of(slots).items():
        if required:
            default = MISSING
        else:
            stated = [m.default for m in get_args(slot_hint) if isinstance(m, FieldInfo) and not m.is_required()]
            default = stated[-1] if stated else None
        yield _parameter(cls, slot, slot_hint, default)


def _parameter(cls: type[Declared], name: str, hint: Any, default: Any) -> Parameter:
    if name in RESERVED | cls._taken:
        raise _refusal(cls, f"the parameter name '{name}' is taken by specs or by every {cls.kind}; choose another")
    if name.startswith("_"):
        raise _refusal(cls, f"the parameter name '{name}' starts with an underscore, which is for what is private")
    problem = undeclarable(hint)
    if problem is not None:
        raise _refusal(cls, f"parameter '{name}': {problem}")
    if isinstance(default, Declared):
        raise _refusal(cls, f"the default of '{name}' is a component, shared by all instances; use None and make it")
    if isinstance(default, list | dict | set):
        raise _refusal(cls, f"the default of '{name}' is mutable; use a tuple or None")
    if isinstance(default, np.generic | np.ndarray | torch.Tensor):
        raise _refusal(cls, f"the default of '{name}' is a {type(default).__name__}; write a plain number or a tuple")
    return Parameter(name, strict(hint), default)


def parameters_model(cls: type[Declared]) -> type[BaseModel]:
    """The pydantic model of a component's parameters; made once a class."""
    model: type[BaseModel] | None = cls.__dict__.get("_parameters_model")
    if model is None:
        parameters = parameters_of(cls)
        former = _former_parameters(cls, parameters)
        fields: dict[str, Any] = {p.name: (p.hint, _default(p, former)) for p in parameters.values()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a parameter is named like a method of BaseModel harms nobody
                model = create_model(cls.__name__, __config__=CONFIG, **fields)
        except Exception as error:
            raise _refusal(cls, said_by(error)) from error
        for p in parameters.values():
            _check_field(cls, model, p, former)
        cls._former_parameters = former
        cls._parameters_model = model
    return model


def former_parameters(cls: type[Declared]) -> dict[str, NowCalled]:
    """Former names of a component's parameters, and what each is called now."""
    parameters_model(cls)
    return cls._former_parameters


def _default(parameter: Parameter, former: Mapping[str, NowCalled]) -> Any:
    """What a field of the model has for its default, and by which names it may be given."""
    default = ... if parameter.required else parameter.default
    names = [name for name, now in former.items() if now.name == parameter.name]
    return Field(default, validation_alias=AliasChoices(parameter.name, *names)) if names else default


def _former_parameters(cls: type[Declared], parameters: Mapping[str, Parameter]) -> dict[str, NowCalled]:
    """What a class and its bases declare, as far as it is about parameters of this class.

    Raises:
        RegistrationError: the class's own declaration is about others, or not of the form that it should have.
    """
    found: dict[str, NowCalled] = {}
    for owner in reversed(cls.__mro__):
        declared = owner.__dict__.get("former_parameters", {})
        here = f"{owner.__module__}.{owner.__qualname__}.former_parameters"
        try:
            declared = dict(declared) if isinstance(declared, Mapping) else None
        except Exception:  # a mapping of a plugin's own may raise anything
            declared = None
        if declared is None:
            raise _refusal(cls, f'{here} is no mapping of former names to those of now: {{"limit": "cap"}}')
        for former, stated in declared.items():
            name, since = name_and_version(stated, here)
            wrong = _wrong_former(former, name, parameters)
            if wrong is None:
                found[former] = NowCalled(name, since)
            elif owner is cls:  # a base may have had parameters that this class does not take
                raise _refusal(cls, f"{here}: {wrong}")
    return found


def _wrong_former(former: Any, name: str, parameters: Mapping[str, Parameter]) -> str | None:
    if not isinstance(former, str) or not former.isidentifier() or former == "name":
        return f"'{said(former, 100)}' cannot have been the name of a parameter"
    if former in parameters:
        return f"'{said(former, 100)}' is the name of a parameter now"
    if name not in parameters:
        return f"there is no parameter '{said(name, 100)}', which '{said(former, 100)}' should be now"
    return None


def _check_field(
    cls: type[Declared], model: type[BaseModel], parameter: Parameter, former: Mapping[str, NowCalled]
) -> None:
    field = model.model_fields[parameter.name]
    renamed = any(now.name == parameter.name for now in former.values())
    if field.alias or (field.validation_alias and not renamed) or field.default_factory:
        raise _refusal(
            cls,
            f"parameter '{parameter.name}': Field takes no alias and no default_factory here; the signature decides",
        )
    if parameter.required:
        return
    try:
        model.__pydantic_validator__.validate_assignment(model.model_construct(), parameter.name, parameter.default)
    except Exception as error:  # a validator in the hint may raise anything
        message = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        default = cut(repr(parameter.default))
        raise _refusal(
            cls, f"the default of '{parameter.name}', {default}, does not fit its own hint: {said(message)}"
        ) from error


def _refusal(cls: type, reason: str) -> RegistrationError:
    return RegistrationError(f"{cls.__module__}.{cls.__qualname__} cannot be declared as a component: {reason}")


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
