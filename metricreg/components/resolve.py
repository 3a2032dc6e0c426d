"""Composition: from the names in a spec to validated components, and from those to instances."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from pydantic import ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from torch.overrides import TorchFunctionMode

from metricreg.components.signature import former_parameters, parameters_model
from metricreg.components.type_hints import Declared
from metricreg.components.validation_errors import MAX_LINES, lines_of, pointer
from metricreg.errors import SHOWN, Problem, RegistrationError, SpecError, cut, said
from metricreg.registry import IN_PROCESS, OWN_DISTRIBUTION, Entry, Registry
from metricreg.registry.fault import fault
from metricreg.registry.former_names import NowCalled
from metricreg.registry.unknown_name import explain_unknown, failure

D = TypeVar("D", bound=Declared)
MAX_COMPONENTS = 1000


class TooMuchError(Exception):  # no ValueError, which pydantic would collect, and go on
    """A document has too much in it, right or wrong; the rest of it is not looked at."""


@dataclass
class Resolution:
    """The context in which a spec's names are resolved.

    Args:
        registry: where names are looked up.
        requires: distributions the spec says it needs; named in the error for an unknown namespace.
        check: construct each component on the meta device, to see that its `__init__` accepts its arguments.
        components: in how many places one was wanted so far.
        wrong: how many errors pydantic found in the parameters of components so far.
        classes: the class that an object of the document, by its id, names.
    """

    registry: Registry
    requires: Mapping[str, str] = field(default_factory=dict)
    check: bool = True
    components: int = 0
    wrong: int = 0
    classes: dict[int, type[Declared]] = field(default_factory=dict)

    def known_keys(self, node: Any) -> list[str] | None:
        """The keys that may stand in an object of the document, if it names a component."""
        cls = self.classes.get(id(node))
        return None if cls is None else list(parameters_model(cls).model_fields)


@dataclass
class UnbuiltComponent:
    """A validated component of a spec, not yet constructed.

    Args:
        cls: its class.
        values: its arguments, with unbuilt ones for the components among them.
        given: its arguments as the spec has them, by their names of now.
        written: for parameters that the spec has by a former name, that name.
        former_name: the name that the spec has for it, if that is a former one.
        specimen: it, constructed on the meta device; None if that was not tried or not possible.
        unchecked: why it was not possible.
        entry: its registration.
    """

    cls: type[Declared]
    values: dict[str, Any]
    given: Mapping[str, Any]
    written: Mapping[str, str] = field(default_factory=dict)
    former_name: str | None = None
    specimen: Declared | None = None
    unchecked: str | None = None
    entry: Entry | None = None

    @property
    def title(self) -> str:
        """Its class and, if a plugin ships it, its name and that distribution."""
        return title_of(self.cls, self.entry)

    def check(self) -> None:
        """Construct on the meta device, which allocates nothing.

        Raises:
            ValueError: `__init__` refuses its arguments.
            RegistrationError: `__init__` leaves out what every component has to do.
        """
        specimens = {key: _specimens(value) for key, value in self.values.items()}
        if any(inner.specimen is None for inner, _ in unbuilt_in(self.values)):
            return  # the unchecked one is reported
        try:
            with torch.device("meta"), _Undrawn():
                self.specimen = construct(self.cls, specimens, self.given)
        except (ValueError, RegistrationError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin's `__init__` may raise anything, SystemExit included
            self.unchecked = f"{self.title} cannot be checked without constructing it: {reason(error, self.cls)}"

    def construct(self, path: tuple[str | int, ...] = ()) -> Declared:
        """Construct this component and those inside it.

        Raises:
            SpecError: an `__init__` raised; the problem is located and has the exception as its cause.
        """
        values = {key: _filled(value, (*path, self.written.get(key, key))) for key, value in self.values.items()}
        try:
            return construct(self.cls, values, self.given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin's `__init__` may raise anything, SystemExit included
            problem = Problem(pointer(path), f"{self.title} cannot be constructed: {reason(error, self.cls)}")
            raise SpecError([problem]) from error


class _Undrawn(TorchFunctionMode):
    """Leaves out the drawing of random values on the meta device, for which torch would import its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        drawn = args[0] if args else kwargs.get("tensor")  # torch.nn.init passes it by name
        if getattr(func, "__name__", "") in _DRAWS and isinstance(drawn, torch.Tensor) and drawn.is_meta:
            return drawn
        return func(*args, **kwargs)


_DRAWS = frozenset({"normal_", "uniform_", "random_", "exponential_", "bernoulli_", "cauchy_", "log_normal_"})


def title_of(cls: type[Declared], entry: Entry | None) -> str:
    """A component's class and, if a plugin ships it, its name and that distribution."""
    if entry is None or entry.distribution in (OWN_DISTRIBUTION, IN_PROCESS):
        return cls.__name__
    return f"{cls.__name__} ({entry.name} of {entry.distribution})"


def unbuilt_in(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[UnbuiltComponent, tuple[str | int, ...]]]:
    """The components in a value and in those components, with their paths in the document."""
    if isinstance(value, UnbuiltComponent):
        yield value, path
        value = {value.written.get(key, key): item for key, item in value.values.items()}
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from unbuilt_in(item, (*path, key))


def _filled(value: Any, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, UnbuiltComponent):
        return value.construct(path)
    if isinstance(value, dict):
        return {key: _filled(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, (*path, i)) for i, item in enumerate(value))
    return value


def _specimens(value: Any) -> Any:
    if isinstance(value, UnbuiltComponent):
        return value.specimen
    if isinstance(value, dict):
        return {key: _specimens(item) for key, item in value.items()}
    return type(value)(map(_specimens, value)) if isinstance(value, list | tuple) else value


def reason(error: BaseException, cls: type) -> str:
    """What a component's code raised: a rule's message alone, of anything else its type too, and where that was."""
    if isinstance(error, SpecError):
        return said("; ".join(problem.message for problem in error.problems), 10 * SHOWN)
    is_rule = isinstance(error, ValueError | RegistrationError)
    return said(error, 10 * SHOWN) if is_rule else fault(error, cls.__module__)


@dataclass(frozen=True)
class _Cause:
    """An exception that pydantic carries along, and does not make a text of, as it would of the exception itself."""

    error: BaseException | None

    def __str__(self) -> str:
        return "an exception"

    __repr__ = __str__


def _custom(code: str, message: str, cause: BaseException | None = None) -> PydanticCustomError:
    return PydanticCustomError(cast(Any, code), "{message}", {"message": message, "cause": _Cause(cause)})


def resolve(cls: type[Declared], value: Any, info: ValidationInfo) -> Any:
    """The validator of every hint that is a kind: an instance, or what a spec says in its place."""
    if isinstance(value, cls):
        return value
    context = info.context
    if isinstance(value, Declared):
        raise _custom("component_kind", f"should be a {cls.kind}, and {type(value).__name__} is a {value.kind}")
    if not isinstance(context, Resolution):
        raise _custom(
            "component_instance",
            f"should be a {cls.__name__} instance; names and objects are for specs: "
            f"metricreg.create('{cls.kind}', {_as_arguments(value)})",
        )
    context.components += 1
    if context.components > MAX_COMPONENTS:
        raise TooMuchError(f"a spec names at most {MAX_COMPONENTS:,} components")
    if context.wrong > MAX_LINES:
        raise TooMuchError(f"more than {MAX_LINES:,} values in the parameters of components are wrong")
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        name, parameters = value["name"], {k: v for k, v in value.items() if k != "name"}
    elif isinstance(value, str):
        name, parameters = value, {}
    else:
        raise _custom(
            "component_name", f"should be the name of a {cls.kind}, or an object with 'name' and its parameters"
        )
    return _unbuilt(cls, name, parameters, value, context)


def _unbuilt(
    cls: type[Declared], name: str, parameters: dict[str, Any], value: Any, context: Resolution
) -> UnbuiltComponent:
    registry = context.registry
    former_name = None
    try:
        if not registry.has(cls.kind, name):
            now = registry.now_called(cls.kind, name)
            if now is None:
                message = explain_unknown(registry, cls.kind, name, context.requires)
                raise _custom("component_unknown", message, failure(registry, name))
            name, former_name = now.name, name
        found: type[Declared] = registry.get(cls.kind, name)
    except RegistrationError as error:
        raise _custom("component_refused", said(error, 10 * SHOWN), error) from error
    if not issubclass(found, cls):
        raise _custom("component_kind", f"should be a {cls.__name__}, and '{name}' is {found.__name__}")
    context.classes[id(value)] = found
    entry = registry.entry(cls.kind, name)
    try:
        unbuilt = checked(found, parameters, context, former_name, entry)
    except ValidationError as error:
        context.wrong += error.error_count()
        raise
    except (TooMuchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a validator in a hint may raise anything
        message = f"{title_of(found, entry)} cannot be checked: {reason(error, found)}"
        raise _custom("component_rule", message, error) from error
    if context.check:
        try:
            unbuilt.check()
        except (ValueError, RegistrationError) as error:
            raise _custom("component_rule", reason(error, found), error) from error
    return unbuilt


def _as_arguments(value: Any) -> str:
    if isinstance(value, str):
        return cut(repr(value))
    return f"{cut(str(value['name']))!r}, ..." if isinstance(value, dict) and "name" in value else "..."


def cause_of(error: ValidationError) -> BaseException | None:
    """The first exception that a component or plugin raised behind a validation error; None of too many lines."""
    contexts = (line.get("ctx") or {} for line in lines_of(error))
    causes = (context["cause"].error for context in contexts if isinstance(context.get("cause"), _Cause))
    return next((cause for cause in causes if cause is not None), None)


# -- construction ---------------------------------------------------------------------------------------------------


def checked(
    cls: type[Declared],
    given: Mapping[str, Any],
    context: Resolution | None,
    former_name: str | None = None,
    entry: Entry | None = None,
) -> UnbuiltComponent:
    """A component with the arguments given, as the model of its parameters makes them.

    Args:
        cls: its class.
        given: its arguments, of which some may have a former name.
        context: in which names are resolved; None where components are given as instances.
        former_name: the name by which the spec has it, if that is a former one.
        entry: its registration.

    Raises:
        ValidationError: pydantic's, located in `given`.
    """
    model, formers = parameters_model(cls), former_parameters(cls)
    written = {formers[name].name: name for name in given if name in formers}
    named = {formers[name].name if name in formers else name: value for name, value in given.items()}
    if len(named) < len(given):
        raise ValidationError.from_exception_data(cls.__name__, _twice(given, formers, written))
    parameters = model.__pydantic_validator__.validate_python(dict(given), context=context)
    values = {name: getattr(parameters, name) for name in named}
    return UnbuiltComponent(cls, values, named, written, former_name, entry=entry)


def _twice(
    given: Mapping[str, Any], formers: Mapping[str, NowCalled], written: Mapping[str, str]
) -> list[InitErrorDetails]:
    """A line for each argument that is given by another name too."""
    lines = []
    for name in given:
        now = formers[name].name if name in formers else name
        other = now if now in given else written.get(now, name)
        if name in formers and other != name:
            message = f"'{name}' is called '{now}' now, and '{other}' is given too; give '{now}' alone"
            lines.append(InitErrorDetails(type=_custom("renamed_twice", message), loc=(name,), input=given[name]))
    return lines


def construct(cls: type[D], values: dict[str, Any], given: Mapping[str, Any]) -> D:
    """Construct behind the check of the arguments, and record them.

    Args:
        cls: a component's class.
        values: its arguments, as the check made them.
        given: as they were given: what a validator made of plain data, it would make something else of.
    """
    data = [name for name in values if _is_data(given.get(name)) and not holds_component(values[name])]
    transformed = [name for name in data if not _is_data(values[name]) or given[name] != values[name]]
    recorded = _copied(values | {name: given[name] for name in transformed})
    self = cast(D, ABCMeta.__call__(cls, **values))
    if "_modules" not in vars(self):
        raise RegistrationError(
            f"{cls.__name__}.__init__ does not call super().__init__(), which torch.nn.Module needs"
        )
    effective = self.effective_arguments()
    unused = [name for name in effective if recorded.get(name) is not None and effective[name] is not recorded[name]]
    if unused:
        raise RegistrationError(
            f"{cls.__name__}.__init__ takes '{unused[0]}' and does not use it; hand it on: super().__init__(**slots)"
        )
    object.__setattr__(self, "_construction", (cls, recorded, effective))
    return self


def holds_component(value: Any) -> bool:
    """Whether a value is a component, or a container with one in it."""
    if isinstance(value, dict | list | tuple):
        return any(map(holds_component, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Declared)


def _is_data(value: Any) -> bool:
    """Whether a value is one that JSON has."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_data(item) for key, item in value.items())
    return all(map(_is_data, value)) if isinstance(value, list | tuple) else type(value) in (bool, int, float, str)


def _copied(value: Any) -> Any:
    """Containers copied, so that what a component does with its arguments does not change its spec."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, list | tuple) else value
