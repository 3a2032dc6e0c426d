"""Component: a class whose `__init__` signature is its whole declaration."""

from __future__ import annotations

import enum
import inspect
import re
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import core_schema

from metricreg.components.renamed import renamed_arguments, renamed_in_call, warn_renamed
from metricreg.components.resolve import (
    Resolution,
    TooMuchError,
    cause_of,
    checked,
    construct,
    holds_component,
    reason,
    resolve,
    title_of,
)
from metricreg.components.signature import call_signature, former_parameters, parameters_model
from metricreg.components.type_hints import Declared, mentions
from metricreg.components.validation_errors import nearest, pointer, problems_of
from metricreg.errors import SHOWN, MetricregError, RegistrationError, SpecError, cut, said
from metricreg.registry import IN_PROCESS, KINDS, LOCAL_NAMESPACE, NAME, Entry, Registry, default_registry
from metricreg.registry.former_names import beside, check_former_names, former_names

C = TypeVar("C", bound="Component")
KIND_MARK = "x-metricreg-kind"


class ComponentMeta(ABCMeta):
    """Validates the arguments of a component against its signature, constructs it, and records them."""

    def __call__(cls: type[C], *args: Any, **kwargs: Any) -> C:  # type: ignore[misc] # a type of C is a ComponentMeta
        """Construct from arguments that are checked once, and remembered for `to_spec`.

        Raises:
            SpecError: a value does not fit its hint, or a rule across parameters is broken.
            TypeError: too many, too few or unknown arguments.
        """
        try:
            model = parameters_model(cls)
        except RegistrationError:  # not declarable: fine for use by hand, refused by `register` and `to_spec`
            return cast(C, ABCMeta.__call__(cls, *args, **kwargs))
        given = _bind(cls, model, args, kwargs)
        try:
            arguments = checked(cls, given, None)
        except ValidationError as error:
            raise SpecError(problems_of(error, given), f"invalid arguments of {cls.__name__}") from None
        if arguments.written:
            warn_renamed(renamed_arguments(cls, arguments.written, arguments.given), stacklevel=2)
        try:
            return construct(cls, arguments.values, arguments.given)
        except MetricregError:
            raise
        except ValueError as error:
            raise SpecError(said(error, 10 * SHOWN), f"invalid arguments of {cls.__name__}") from error

    @property
    def __signature__(cls) -> inspect.Signature:
        """What `help` and editors show: the signature of `__init__`, not of the metaclass's `__call__`."""
        return call_signature(cls)


def _bind(
    cls: type[Component], model: type[BaseModel], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    formers = former_parameters(cls)
    unknown = [name for name in kwargs if name not in model.model_fields and name not in formers]
    if unknown:
        raise TypeError(
            f"{cls.__name__} got an unexpected argument '{unknown[0]}'; {nearest(unknown[0], model.model_fields)}"
        )
    given, renamed = kwargs, {name: value for name, value in kwargs.items() if name in formers}
    if args:
        try:
            bound = call_signature(cls).bind_partial(*args, **{k: v for k, v in kwargs.items() if k not in renamed})
        except TypeError as error:
            raise TypeError(f"{cls.__name__}: {error}") from None
        given = dict(renamed)
        for name, value in bound.arguments.items():
            given |= value if name not in model.model_fields else {name: value}
    present = {formers[name].name if name in formers else name for name in given}
    missing = [name for name, f in model.model_fields.items() if f.is_required() and name not in present]
    if missing:
        raise TypeError(f"{cls.__name__} misses the argument{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}")
    return given


class Component(Declared, metaclass=ComponentMeta):
    """Base of everything that a spec can name: an `nn.Module` whose `__init__` has type hints.

    The parameters' schema, their validation, the JSON Schema, `metricreg describe` and the round trip through
    `to_spec` all come from the signature; nothing is declared twice.

    Attributes:
        former_names: names that the component had before, without a namespace: specs with them go on working. A pair
            of a name and a version, `("clamped_mean", "1.3")`, also says since when.
        former_parameters: names that parameters had before, and what each is called now, or a pair of that and a
            version: `{"limit": "cap"}`, `{"limit": ("cap", "1.3")}`.
    """

    _construction: tuple[type[Declared], dict[str, Any], dict[str, Any]]

    @classmethod
    def check_declaration(cls, kind: str) -> None:
        """Refuse, with the reason, what cannot be registered as a component of this kind.

        Raises:
            RegistrationError: another kind, an abstract class, or a signature that JSON could not give.
        """
        if cls.kind != kind:
            raise RegistrationError(f"{cls.__module__}.{cls.__qualname__} is a {cls.kind or 'Component'}, not a {kind}")
        if inspect.isabstract(cls):
            absent = ", ".join(sorted(cls.__abstractmethods__))
            raise RegistrationError(f"{cls.__module__}.{cls.__qualname__} is abstract: it does not implement {absent}")
        former_names(cls)
        parameters_model(cls)
        cls._check_slots()

    @classmethod
    def _check_slots(cls) -> None:
        """Refuse what hides a component that every component of the kind has, or stands in its place."""
        base = next(c for c in cls.__mro__ if "kind" in vars(c))
        for slot, hint in get_type_hints(base.__init__).items():  # type: ignore[misc] # a class has one
            wanted = next((c for c in get_args(hint) if isinstance(c, type) and issubclass(c, Declared)), None)
            field = parameters_model(cls).model_fields.get(slot)
            if wanted and (hasattr(cls, slot) or (field and not mentions(field.annotation, wanted))):
                raise RegistrationError(
                    f"{cls.__module__}.{cls.__qualname__} has a '{slot}' of its own, which in every {cls.kind} is the "
                    f"{wanted.__name__} that it was given, or None; choose another name"
                )

    def extra_repr(self) -> str:
        """The parameters, those that are components left out: they stand below, as modules."""
        if "_construction" not in vars(self):
            return ""
        cls, values, _ = self._construction
        defaults = {name: field.default for name, field in parameters_model(cls).model_fields.items()}
        given = {
            name: value
            for name, value in (defaults | values).items()
            if value is not None and not holds_component(value)
        }
        return ", ".join(f"{name}={cut(repr(value))}" for name, value in given.items())

    def to_spec(self, *, defaults: bool = False, registry: Registry | None = None) -> dict[str, Any]:
        """The spec this component was constructed from: `{"name": ..., <the arguments given>}`.

        Args:
            defaults: give every parameter, also those left at their defaults.
            registry: whose names are used; the default registry if None.

        Raises:
            SpecError: a class that is not registered, or one component with state that stands in two places.
        """
        return _Describer(registry, defaults).spec(self, ())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A hint of this class accepts an instance or, in a spec, a name or an object with a name."""
        return core_schema.with_info_plain_validator_function(lambda value, info: resolve(cls, value, info))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """In a JSON Schema, a mark that `json_schema` makes a reference to the definition of the kind."""
        return {KIND_MARK: cls.kind}


class _Describer:
    """Writes the spec of a tree of components."""

    def __init__(self, registry: Registry | None, defaults: bool) -> None:
        self.registry, self.defaults = default_registry() if registry is None else registry, defaults
        self.seen: dict[int, tuple[str | int, ...]] = {}

    def spec(self, component: Component, path: tuple[str | int, ...]) -> dict[str, Any]:
        recorded = vars(component).get("_construction")
        if recorded is None:
            parameters_model(type(component))  # says why it cannot be described
            raise SpecError(f"{type(component).__name__} at '{pointer(path)}' was not constructed by calling its class")
        cls, values, effective = recorded
        name = self.registry.name_of(cls.kind, cls)
        if name is None:
            raise SpecError(
                f"{cls.__module__}.{cls.__qualname__} at '{pointer(path)}' is not registered; a spec cannot name it. "
                f"Ship it as a plugin, or call metricreg.register({cls.__name__})"
            )
        if any(True for _ in component.parameters()) or any(True for _ in component.buffers()):
            first = self.seen.setdefault(id(component), path)
            if first != path:
                raise SpecError(
                    f"one {name} with parameters or buffers stands at '{pointer(first)}' and at '{pointer(path)}'; "
                    "a spec is a tree and cannot say that two places share it"
                )
        if self.defaults:
            fields = parameters_model(cls).model_fields
            values = {
                name: f.default for name, f in fields.items() if f.is_required() or _stays(cls, name, f.default)
            } | values
            values |= {k: v for k, v in effective.items() if k in fields and values.get(k) is None}
        return {"name": name} | {key: self.value(value, (*path, key)) for key, value in values.items()}

    def value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, Component):
            spec = self.spec(value, path)
            return spec if self.defaults or len(spec) > 1 else spec["name"]
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        return value.value if isinstance(value, enum.Enum) else value


def _stays(cls: type[Declared], name: str, default: Any) -> bool:
    """Whether a default, which no validator has seen, is the same once it is given."""
    model = parameters_model(cls)
    given = model.__pydantic_validator__.validate_assignment(model.model_construct(), name, default)
    return bool(getattr(given, name) == default)


def specs_of(parts: Mapping[str, Component], registry: Registry | None, defaults: bool) -> dict[str, Any]:
    """The specs of components that stand side by side, among which no state may be shared either."""
    describer = _Describer(registry, defaults)
    return {key: describer.value(component, (key,)) for key, component in parts.items()}


def components_in(value: Any) -> Iterator[Component]:
    """The components in a value, and those that they were constructed with, defaults included."""
    if isinstance(value, Component):
        yield value
        _, values, effective = vars(value).get("_construction", (None, {}, {}))
        value = (values, effective)
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from components_in(item)


def create(kind: str, name: str, /, *, registry: Registry | None = None, **parameters: Any) -> Any:
    """Construct one registered component; parameters are values, instances, or specs of components.

    Example:
        `metricreg.create("loss", "contrastive", neg_margin=0.5, distance="cosine")`

    Raises:
        SpecError: an unknown kind, name or parameter, or a value that does not fit.
        RegistrationError: the name stands for something that cannot be imported, or is no component.
    """
    registry = default_registry() if registry is None else registry
    current = registry.current_name(kind, name)
    cls: type[Component] = registry.get(kind, current)
    context = Resolution(registry, check=False)
    entry = registry.entry(kind, current)
    try:
        created = checked(cls, parameters, context, name if current != name else None, entry)
        warn_renamed(renamed_in_call(created, parameters, registry), stacklevel=2)
        return created.construct()
    except SpecError as error:
        raise SpecError(error.problems, f"invalid parameters of the {kind} '{name}'") from error.__cause__
    except ValidationError as error:
        context.classes[id(parameters)] = cls
        problems = problems_of(error, parameters, context.known_keys)
        raise SpecError(problems, f"invalid parameters of the {kind} '{name}'") from cause_of(error)
    except TooMuchError as error:
        raise SpecError(str(error), f"invalid parameters of the {kind} '{name}'") from None
    except (MetricregError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a validator in a hint may raise anything
        text = f"{title_of(cls, entry)} cannot be checked: {reason(error, cls)}"
        raise SpecError(text, f"invalid parameters of the {kind} '{name}'") from error


def register(cls: type[C], name: str | None = None, *, registry: Registry | None = None) -> type[C]:
    """Register a class for this process as `local/<name>`; usable as a decorator.

    Registering the same class again, as running a notebook cell twice does, replaces it.

    Args:
        cls: a component class.
        name: `[a-z][a-z0-9_]*`; by default the class's name in snake case without its kind: `ClippedMeanReducer`,
            or `ClippedMean`, becomes `local/clipped_mean`.
        registry: the default registry if None.

    Raises:
        RegistrationError: the class cannot be declared, or another class has the name.
    """
    if not (isinstance(cls, type) and issubclass(cls, Component)) or cls.kind not in KINDS:
        raise RegistrationError(f"{cls!r} is not a component; derive it from metricreg.Loss, Reducer, Distance, ...")
    registry = default_registry() if registry is None else registry
    if name is None:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()
        name = snake.removesuffix("_" + cls.kind)
    if not NAME.fullmatch(name):
        raise RegistrationError(f"'{name}' is no name for a component; a name is [a-z][a-z0-9_]*, without a namespace")
    cls.check_declaration(cls.kind)
    entry = Entry(cls.kind, f"{LOCAL_NAMESPACE}/{name}", cls, IN_PROCESS)
    same = any(e.kind == cls.kind and e.name == entry.name and e.path == entry.path for e in registry)
    check_former_names([entry, *(e for e in beside(registry, entry.kind, entry.name) if e.name != entry.name)])
    registry.add(entry, replace=same)
    return cls
