"""Declarations: what an `__init__` signature says, which values its hints take, and which signatures are refused."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict, Union

import numpy as np
import pytest
import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from typing_extensions import NotRequired, Required, Unpack

from metricreg import Distance, Loss, LossSlots, Reducer, Registry, SpecError, Term, register
from metricreg.components.component import Component
from metricreg.components.signature import parameter_docs, parameters_of, summary
from metricreg.distances import LpDistance
from metricreg.errors import RegistrationError
from metricreg.reducers import MeanReducer
from tests.components.plugin import Sum


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Window(TypedDict):
    low: float
    high: NotRequired[Annotated[float, Field(gt=0)]]


class MoreSlots(LossSlots, total=False):
    count: Required[int]
    rate: Annotated[float, Field(default=0.5, ge=0)]
    label: str | None


class Everything(Sum):
    def __init__(
        self,
        real: float = 1.0,
        whole: int = 1,
        flag: bool = False,
        text: str = "",
        choice: Literal["a", "b", 3] = "a",
        colour: Colour = Colour.RED,
        level: Level = Level.LOW,
        positive: Annotated[float, Field(gt=0)] = 1.0,
        maybe: Annotated[float | None, Field(gt=0)] = None,
        either: Annotated[int, Field(gt=0)] | Literal["all"] = "all",
        numbers: list[float] | None = None,
        pair: tuple[int, float] = (1, 2.0),
        many: tuple[float, ...] = (),
        rates: dict[str, Annotated[float, Field(ge=0)]] | None = None,
        window: Window | None = None,
        reducer: Reducer | None = None,
        reducers: list[Reducer] | None = None,
        named: dict[str, Distance] | None = None,
    ) -> None:
        super().__init__()
        self.given = dict(locals())


# -- values -------------------------------------------------------------------------------------------------------------

TAKEN: list[tuple[str, Any, Any]] = [
    ("real", 2, 2.0),
    ("real", np.float32(0.5), 0.5),
    ("real", np.int64(3), 3.0),
    ("real", np.array(1.5), 1.5),
    ("real", torch.tensor(1.5), 1.5),
    ("real", torch.tensor(2), 2.0),
    ("real", torch.tensor(0.5), 0.5),
    ("real", -1e308, -1e308),
    ("whole", 4.0, 4),
    ("whole", np.int8(3), 3),
    ("whole", np.float64(3.0), 3),
    ("whole", torch.tensor(7), 7),
    ("whole", 2**63 - 1, 2**63 - 1),
    ("whole", -(2**63), -(2**63)),
    ("flag", True, True),
    ("flag", np.bool_(True), True),
    ("flag", torch.tensor(True), True),
    ("text", np.str_("word"), "word"),
    ("choice", "b", "b"),
    ("choice", 3, 3),
    ("colour", "blue", Colour.BLUE),
    ("colour", Colour.BLUE, Colour.BLUE),
    ("level", 2, Level.HIGH),
    ("maybe", None, None),
    ("maybe", 2, 2.0),
    ("either", "all", "all"),
    ("either", 4.0, 4),
    ("numbers", [1, np.float32(2)], [1.0, 2.0]),
    ("numbers", (1, 2), [1.0, 2.0]),
    ("pair", [3, 4], (3, 4.0)),
    ("many", [], ()),
    ("many", [1, 2, 3], (1.0, 2.0, 3.0)),
    ("rates", {"a": 0}, {"a": 0.0}),
    ("window", {"low": 1}, {"low": 1.0}),
    ("window", {"low": 1, "high": 2}, {"low": 1.0, "high": 2.0}),
]


@pytest.mark.parametrize(("name", "given", "got"), TAKEN)
def test_values_are_taken_and_made_plain(name: str, given: Any, got: Any) -> None:
    value = Everything(**{name: given}).given[name]
    assert value == got
    assert type(value) is type(got)


REFUSED: list[tuple[str, Any, str]] = [
    ("real", True, "number"),
    ("real", np.bool_(True), "number"),
    ("real", torch.tensor(True), "number"),
    ("real", "1.5", "number"),
    ("real", None, "number"),
    ("real", float("nan"), "finite"),
    ("real", float("inf"), "finite"),
    ("real", np.float32("-inf"), "finite"),
    ("real", torch.tensor(torch.nan), "finite"),
    ("real", 10**400, "a number that a float can hold"),
    ("real", torch.tensor([1.0]), "number"),
    ("real", np.array([1.0]), "number"),
    ("real", Decimal("1.5"), "number"),
    ("whole", torch.tensor([1]), "integer"),
    ("whole", Decimal(1), "integer"),
    ("real", torch.tensor(1.0, device="meta"), "number"),
    ("real", 1j, "number"),
    ("whole", True, "integer"),
    ("whole", 4.5, "integer"),
    ("whole", "4", "integer"),
    ("whole", 2**63, "at most 64 bits"),
    ("whole", -(2**63) - 1, "at most 64 bits"),
    ("whole", 1e300, "at most 64 bits"),
    ("whole", float("inf"), "integer"),
    ("whole", np.uint64(2**64 - 1), "at most 64 bits"),
    ("flag", 1, "boolean"),
    ("flag", "true", "boolean"),
    ("text", 1, "string"),
    ("text", b"word", "string"),
    ("choice", "c", "'a', 'b' or 3"),
    ("choice", True, "true or false"),
    ("colour", "green", "'red' or 'blue'"),
    ("level", True, "true or false"),
    ("level", 3, "1 or 2"),
    ("positive", 0, "greater than 0"),
    ("maybe", 0, "greater than 0"),
    ("maybe", True, "number"),
    ("either", 0, "greater than 0"),
    ("either", "some", "'all'"),
    ("either", True, "true or false"),
    ("numbers", [1, "2"], "number"),
    ("numbers", [True], "number"),
    ("numbers", 1.0, "list"),
    ("numbers", "12", "list"),
    ("pair", [1], "required"),
    ("pair", [1, 2, 3], "at most 2"),
    ("rates", {"a": -1}, "greater than or equal to 0"),
    ("rates", {1: 1}, "string"),
    ("window", {}, "'low' is required"),
    ("window", {"low": "1"}, "number"),
    ("window", {"low": float("nan")}, "finite"),
    ("window", {"low": 1, "lwo": 2}, "unknown parameter 'lwo'"),
    ("window", {"low": 1, "high": 0}, "greater than 0"),
    ("reducer", LpDistance(), "a reducer, and LpDistance is a distance"),
    ("reducer", "mean", "metricreg.create('reducer', 'mean')"),
    ("reducer", {"name": "mean"}, "metricreg.create('reducer', 'mean', ...)"),
    ("reducers", [MeanReducer(), 3], "Reducer instance"),
    ("named", {"a": MeanReducer()}, "a distance, and MeanReducer is a reducer"),
]


@pytest.mark.parametrize(("name", "given", "says"), REFUSED)
def test_values_are_refused_with_what_is_allowed(name: str, given: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Everything(**{name: given})
    assert says in str(caught.value)
    assert caught.value.title == "invalid arguments of Everything"
    assert all(problem.pointer.startswith("/" + name) for problem in caught.value.problems)
    assert all(len(problem.given or "") <= 100 for problem in caught.value.problems)


def test_every_wrong_argument_is_listed() -> None:
    with pytest.raises(SpecError) as caught:
        Everything(real="x", whole=1.5, rates={"a": -1, "b": 1, "c": "z"})
    assert [p.pointer for p in caught.value.problems] == ["/real", "/whole", "/rates/a", "/rates/c"]


# -- what cannot be declared ------------------------------------------------------------------------------------------


def declared(hint: Any, *default: Any) -> type[Sum]:
    """A reducer with one parameter, `x`."""

    class Made(Sum):
        def __init__(self, x: float) -> None:
            super().__init__()

    Made.__init__.__annotations__["x"] = hint
    Made.__init__.__defaults__ = default or None
    return Made


class Plain:
    pass


class NoKind(Component):
    pass


class Mode(enum.Enum):
    FAST = object()


class Kept(TypedDict):
    value: Any


UNDECLARABLE: list[tuple[Any, str]] = [
    (Any, "JSON cannot give"),
    (object, "JSON cannot give"),
    (Callable[[float], float], "JSON cannot give"),
    (Tensor, "JSON cannot give"),
    (torch.nn.Module, "JSON cannot give"),
    (np.ndarray, "JSON cannot give"),
    (bytes, "JSON cannot give"),
    (complex, "JSON cannot give"),
    (set[float], "JSON cannot give"),
    (typing.Sequence[float], "JSON cannot give"),
    (Plain, "JSON cannot give"),
    (type[Reducer], "JSON cannot give"),
    (list, "does not say what is in it"),
    (dict, "does not say what is in it"),
    (list[Any], "JSON cannot give"),
    (list[Tensor] | None, "JSON cannot give"),
    (dict[int, float], "keys of a JSON object are strings"),
    (dict[str, Tensor], "JSON cannot give"),
    (tuple[float, Any], "JSON cannot give"),
    (Kept, "JSON cannot give"),
    (Literal[b"a"], "values that JSON does not have"),
    (Mode, "values not in JSON"),
    (Component, "no kind of component"),
    (NoKind, "no kind of component"),
    (Distance | Reducer, "union of two kinds (Distance and Reducer)"),
    (Union[Distance, Reducer, None], "union of two kinds"),  # noqa: UP007
    (Distance | str, "could be meant"),
    (Distance | dict[str, float], "could be meant"),
    (Distance | Literal["none"], "could be meant"),
    (Distance | Colour, "could be meant"),
    (Distance | Window, "could be meant"),
    (list[Distance | str], "could be meant"),
    (Annotated[int | Literal["all"], Field(gt=0)], "write the constraint on the member"),
    (Annotated[str, Field(pattern="[")], "regex"),
    (Annotated[float, Field(alias="y")], "no alias"),
    (Annotated[list[float], Field(default_factory=list)], "no default_factory"),
    ("Nowhere", "cannot be evaluated: NameError"),
]


@pytest.mark.parametrize(("hint", "reason"), UNDECLARABLE)
def test_hints_that_json_cannot_serve_are_refused(hint: Any, reason: str) -> None:
    registry = Registry()
    with pytest.raises(RegistrationError) as caught:
        register(declared(hint), registry=registry)
    assert reason in str(caught.value)
    assert "Made" in str(caught.value)
    assert registry.names("reducer") == ()


DEFAULTS: list[Any] = [
    pytest.param(
        float,
        None,
        "does not fit its own hint",
        marks=pytest.mark.skipif("sys.version_info < (3, 11)", reason="makes it optional"),
    ),
    (float, "1", "does not fit its own hint"),
    (float, float("inf"), "does not fit its own hint"),
    (int, 1.5, "does not fit its own hint"),
    (int, True, "does not fit its own hint"),
    (Annotated[float, Field(gt=0)], 0.0, "does not fit its own hint"),
    (Annotated[float, AfterValidator(lambda value: 1 / value)], 0.0, "division by zero"),
    (list[float], [1.0], "is mutable"),
    (dict[str, float], {}, "is mutable"),
    (Reducer, MeanReducer(), "is a component, shared by all instances"),
    (Reducer | None, MeanReducer(), "is a component"),
    (float, np.float32(1), "is a float32"),
    (float, torch.tensor(1.0), "is a Tensor"),
]


@pytest.mark.parametrize(("hint", "default", "reason"), DEFAULTS)
def test_defaults_that_a_spec_could_not_state_are_refused(hint: Any, default: Any, reason: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        register(declared(hint, default), registry=Registry())
    assert reason in str(caught.value)
    assert "'x'" in str(caught.value)


def _no_hint(self: Any, x=1.0) -> None: ...  # type: ignore[no-untyped-def]
def _positional_only(self: Any, x: float = 1.0, /) -> None: ...
def _star(self: Any, *x: float) -> None: ...
def _double_star(self: Any, **x: float) -> None: ...
def _untyped_double_star(self: Any, **x) -> None: ...  # type: ignore[no-untyped-def]
def _not_a_typed_dict(self: Any, **x: Unpack[dict]) -> None: ...  # type: ignore[type-arg, misc]
def _called_name(self: Any, name: str = "x") -> None: ...
def _called_training(self: Any, training: bool = True) -> None: ...
def _called_forward(self: Any, forward: float = 1.0) -> None: ...
def _called_modules(self: Any, _modules: float = 1.0) -> None: ...
def _underscored(self: Any, _x: float = 1.0) -> None: ...


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        (_no_hint, "parameter 'x' has no type hint"),
        (_positional_only, "parameter 'x' is positional-only"),
        (_star, "'*x' has no names"),
        (_double_star, "'**x' must be hinted as Unpack[SomeTypedDict]"),
        (_untyped_double_star, "parameter 'x' has no type hint"),
        (_not_a_typed_dict, "must be hinted as Unpack[SomeTypedDict]"),
        (_called_name, "the parameter name 'name' is taken"),
        (_called_training, "the parameter name 'training' is taken"),
        (_called_forward, "the parameter name 'forward' is taken"),
        (_called_modules, "the parameter name '_modules' is taken"),
        (_underscored, "starts with an underscore"),
    ],
)
def test_signatures_that_a_spec_could_not_call_are_refused(init: Any, reason: str) -> None:
    made = type("Made", (Sum,), {"__init__": init})
    with pytest.raises(RegistrationError) as caught:
        register(made, registry=Registry())
    assert reason in str(caught.value)


def test_what_cannot_be_declared_can_still_be_used_by_hand() -> None:
    class Handmade(Sum):
        def __init__(self, function: Callable[[float], float]) -> None:
            super().__init__()
            self.function = function

    made = Handmade(abs)
    assert made(Term(torch.ones(3))).item() == 3
    with pytest.raises(RegistrationError, match="JSON cannot give"):
        made.to_spec()


# -- what a declaration says ------------------------------------------------------------------------------------------


def test_slots_are_parameters_with_the_defaults_they_state() -> None:
    class Slotted(Loss):
        def __init__(self, scale: float = 2.0, **slots: Unpack[MoreSlots]) -> None: ...

    found = parameters_of(Slotted)
    assert list(found) == [
        "scale", "distance", "reducer", "embedding_regularizer", "embedding_reg_weight", "match", "count", "rate", "label"
    ]  # fmt: skip
    assert {name for name, p in found.items() if p.required} == {"count"}
    assert found["rate"].default == 0.5
    assert found["label"].default is None


def test_parameters_may_be_named_like_pydantics_methods() -> None:
    class Named(Sum):
        def __init__(self, copy: float = 1.0, json: int = 2, schema: str = "s", model_fields: float = 3.0) -> None:
            super().__init__()
            self.seen = (copy, json, schema, model_fields)

    made = Named(copy=4, model_fields=5)
    assert made.seen == (4.0, 2, "s", 5.0)
    registry = Registry()
    register(Named, registry=registry)
    assert made.to_spec(registry=registry) == {"name": "local/named", "copy": 4.0, "model_fields": 5.0}


def test_no_init_means_no_parameters() -> None:
    assert parameters_of(Sum) == {}
    assert list(inspect.signature(Sum).parameters) == []
    register(Sum, registry=Registry())
    with pytest.raises(TypeError, match="unexpected argument 'x'"):
        Sum(x=1)  # type: ignore[call-arg]


def test_a_dataclass_declares_its_fields() -> None:
    @dataclass(eq=False)
    class Clipped(Sum):
        cap: Annotated[float, Field(gt=0)] = 1.0
        scale: float = field(default=2.0, kw_only=True)

        def __post_init__(self) -> None:
            super().__init__()

    made = Clipped(3)
    assert (made.cap, made.scale) == (3.0, 2.0)
    registry = Registry()
    register(Clipped, registry=registry)
    assert made.to_spec(registry=registry) == {"name": "local/clipped", "cap": 3.0}
    with pytest.raises(SpecError, match="greater than 0"):
        Clipped(cap=0)


def test_docs_of_parameters_come_from_the_class_and_its_bases() -> None:
    class Base(Sum):
        """Base.

        Args:
            one: the first,
                over two lines.
            two: of the base.
        """

    class Child(Base):
        """Child does
        something.

        More.

        Args:
            two (float): of the child.

        Shapes:
            three: no parameter.
        """

    assert parameter_docs(Child) == {"one": "the first, over two lines.", "two": "of the child."}
    assert summary(Child) == "Child does something."
    assert summary(type("Undocumented", (Base,), {})) == ""


def test_a_name_that_pydantic_keeps_for_itself_is_refused_with_a_sentence() -> None:
    class Configured(Sum):
        def __init__(self, model_config: float = 1.0) -> None:
            super().__init__()

    with pytest.raises(RegistrationError, match=r"'model_config' is taken.*choose another"):
        register(Configured, registry=Registry())


class Mixed(Sum):
    def __init__(self, choice: Literal[True, 2, "x"] = True) -> None:
        super().__init__()
        self.choice = choice


@pytest.mark.parametrize("given", [1, 1.0, False, 3, "y"])
def test_one_is_not_true_among_choices(given: Any) -> None:
    with pytest.raises(SpecError, match="choice"):
        Mixed(choice=given)


@pytest.mark.parametrize("given", [True, 2, 2.0, "x"])
def test_choices_of_several_types_are_taken(given: Any) -> None:
    assert Mixed(choice=given).choice == given
