"""The JSON Schema of one component: right for every hint that is allowed, and nobody else's problem when it is wrong."""

from __future__ import annotations

import copy
import enum
import warnings
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field
from typing_extensions import NotRequired, Required, TypedDict

from metricreg import (
    Distance,
    Loss,
    PositiveNumber,
    Reducer,
    Registry,
    default_registry,
    json_schema,
    register,
    validate,
)
from metricreg.components.type_hints import strict
from metricreg.errors import PluginWarning, RegistrationError
from metricreg.registry import KINDS, Entry
from metricreg.spec.schema_check import misuse

Validator = jsonschema.Draft202012Validator


def taking(hint: Any, name: str = "Taking") -> type[Reducer]:
    """A reducer with one required parameter `p`."""

    def __init__(self: Any, p: Any) -> None:
        Reducer.__init__(self)

    __init__.__annotations__ = {"p": hint, "return": None}
    members = {
        "__init__": __init__,
        "reduce": lambda self, term: term.sum(),
        "__doc__": "Takes p.",
        "__module__": __name__,
    }
    return type(name, (Reducer,), members)


SHIPPED = ("contrastive", "lp", "cosine", "mean", "sum", "threshold")


def registry_of(*classes: type[Reducer]) -> Registry:
    """Some of what ships, and classes as `local/c0`, `local/c1`, ..."""
    registry = Registry()
    registry.add(*(entry for entry in default_registry() if entry.name in SHIPPED))
    for i, cls in enumerate(classes):
        register(cls, f"c{i}", registry=registry)
    return registry


def spec(value: Any, name: str = "local/c0") -> Any:
    return {"loss": {"name": "contrastive", "reducer": {"name": name, "p": value}}}


# -- every hint -----------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1.5
    FLAG = True
    NOTHING = None
    COUNT = 3


class Word(str, enum.Enum):
    X = "x"


class Inner(TypedDict):
    level: Level
    distance: NotRequired[Distance]


class Outer(TypedDict, total=False):
    inner: Required[Inner]
    many: list[Inner]
    by_name: dict[str, Inner]
    colour: Colour
    number: PositiveNumber
    rate: Annotated[float, Field(gt=0, le=1)]


HINTS: dict[str, Any] = {
    "float": float, "int": int, "bool": bool, "str": str, "null": None,
    "bounds": Annotated[float, Field(gt=0, lt=2)], "bounded int": Annotated[int, Field(ge=0, le=9)], "wide": Annotated[int, Field(le=2**70)],
    "multiple": Annotated[int, Field(multiple_of=2)], "optional": float | None, "optional bounds": Annotated[float | None, Field(ge=1)],
    "either": Annotated[int, Field(gt=0)] | Literal["all"], "text or number": float | str, "number or flag": bool | int,
    "literal": Literal["a", "x"], "literals": Literal["a", 1, True, None], "numbers": Literal[1, 2],
    "enum": Colour, "int enum": Level, "mixed enum": Mixed, "str enum": Word, "optional enum": Colour | None, "enums": list[Level],
    "described enum": Annotated[Level, Field(description="how much")], "named enums": dict[str, Mixed],
    "pattern": Annotated[str, Field(pattern="^[a-z]$")], "length": Annotated[str, Field(min_length=1, max_length=2)],
    "list": list[float], "lists": list[list[int]], "bounded list": Annotated[list[int], Field(min_length=2)],
    "tuple": tuple[int, float], "empty tuple": tuple[()], "tuples": tuple[int, ...], "bounded tuple": Annotated[tuple[int, ...], Field(max_length=1)],
    "list of bounds": list[Annotated[int, Field(ge=0)]], "list or dict": list[int] | dict[str, int],
    "dict": dict[str, float], "bounded dict": Annotated[dict[str, int], Field(min_length=1)],
    "typed dict": Inner, "nested typed dict": Outer, "typed dicts": list[Inner], "named typed dicts": dict[str, Outer],
    "optional typed dict": Outer | None, "described typed dict": Annotated[Inner, Field(description="two")], "in a tuple": tuple[Level, Inner],
    "learned": PositiveNumber, "learned list": list[PositiveNumber],
    "reducer": Reducer, "optional reducer": Reducer | None, "reducers": list[Reducer], "named reducers": dict[str, Reducer],
    "one or more": Reducer | list[Reducer], "distance": Distance, "loss": Loss,
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 3, -1, 1.0, 1.5, 4, 0.5, 10, 2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2.0**63, 1e300,
    "", "a", "x", "1", "all", "red", "blue", "abc", "lp", "mean", "contrastive", [], {}, [1], [1, 2], [1.5], ["a"], [[1], []], [[1.5]],
    {"a": 1}, {"a": 0.5}, {"a": None}, {"a": [1]}, {"level": 1}, {"level": 2, "distance": "lp"}, {"level": 2, "distance": "mean"}, {"level": "1"},
    {"level": 1, "other": 1}, {"inner": {"level": 1}}, {"inner": {"level": 3}}, {"inner": {"level": 1}, "colour": "green"}, {"many": []},
    {"inner": {"level": 1}, "many": [{"level": 2}], "by_name": {"a": {"level": 1}}, "colour": "red", "number": {"learned": 1}, "rate": 1},
    {"inner": {"level": 1}, "rate": 0}, {"inner": {"level": 1}, "number": {"learned": 0}}, [{"level": 1}], [{"level": 1}, 1], {"a": {"level": 1}},
    {"a": {"inner": {"level": 1}}}, [1, {"level": 1}], {"learned": 1}, {"learned": 1, "mix": 1}, {"name": "mean"}, {"name": "lp"}, ["mean"], {"a": "mean"},
    {"a": "lp"}, [{"name": "mean"}, "sum"], {"name": "mean", "x": 1},
]  # fmt: skip


@pytest.fixture(name="of_hint", scope="module", params=HINTS)
def _of_hint(request: pytest.FixtureRequest) -> tuple[Validator, Registry]:
    registry = registry_of(taking(HINTS[request.param]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = json_schema(registry)
    Validator.check_schema(schema)
    return Validator(schema), registry


def agree(validator: Validator, registry: Registry, value: Any) -> bool:
    """Whether a value is taken, which the schema and `validate` say alike."""
    accepted, report = validator.is_valid(spec(value)), validate(spec(value), registry=registry)
    across = all("between min and max" in p.message for p in report)  # the one rule across values in these hints
    assert accepted is (not report) or (accepted and across), f"{value}: {report}"
    return not report


def test_schema_and_validate_say_the_same_of_every_hint(of_hint: tuple[Validator, Registry]) -> None:
    taken = [agree(*of_hint, value) for value in VALUES]
    assert any(taken)
    assert not all(taken)


TREES = st.recursive(
    st.sampled_from([value for value in VALUES if not isinstance(value, list | dict)]) | st.integers() | st.floats(allow_nan=False, width=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "level", "inner", "many", "learned", "name"]), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: "inf" not in repr(value))  # fmt: skip


def changed(value: Any, path: list[int], new: Any) -> Any:
    """A value with another in one place, which a path of positions leads to, as far as it goes."""
    if not path or not value or not isinstance(value, list | dict):
        return new
    key = list(value)[path[0] % len(value)] if isinstance(value, dict) else path[0] % len(value)
    made = copy.deepcopy(value)
    made[key] = changed(made[key], path[1:], new)
    return made


@settings(deadline=None, derandomize=True, max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_and_of_what_was_changed(of_hint: tuple[Validator, Registry], data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([value for value in VALUES if isinstance(value, list | dict)]))
    value = changed(start, data.draw(st.lists(st.integers(0, 5), max_size=3)), data.draw(TREES))
    agree(*of_hint, value)
    agree(*of_hint, data.draw(TREES))


def test_types_of_one_name_and_other_content_stay_apart() -> None:
    def pair(low: Any) -> Any:
        window: Any = TypedDict("Window", {"low": low})
        choice: Any = enum.Enum("Choice", {"A": "a" if low is int else "b"})
        return TypedDict("Both", {"window": window, "choice": choice, "level": Level})

    registry = registry_of(taking(pair(int)), taking(pair(str)), taking(dict[str, pair(int)] | list[pair(str)]))  # type: ignore[misc]
    validator = Validator(json_schema(registry))
    of_int = {"window": {"low": 1}, "choice": "a", "level": 1}
    of_str = {"window": {"low": "x"}, "choice": "b", "level": 1}
    for value, takers in (
        (of_int, {"local/c0"}),
        (of_str, {"local/c1"}),
        ({"k": of_int}, {"local/c2"}),
        ([of_str], {"local/c2"}),
        ([of_int], set()),
    ):  # type: ignore[var-annotated]
        for name in ("local/c0", "local/c1", "local/c2"):
            assert validator.is_valid(spec(value, name)) is (name in takers)
            assert (not validate(spec(value, name), registry=registry)) is (name in takers)


def test_a_type_that_holds_itself_is_refused_with_the_reason() -> None:
    tree: Any = TypedDict("Tree", {"left": "Tree | None"})  # type: ignore[misc] # noqa: F821
    globals()["Tree"] = tree
    try:
        with pytest.raises(RegistrationError, match=r"parameter 'p': Tree holds itself"):
            registry_of(taking(tree))
    finally:
        del globals()["Tree"]
    with pytest.raises(
        RegistrationError, match=r"parameter 'p': the type hints of Lost cannot be evaluated: NameError"
    ):
        registry_of(taking(TypedDict("Lost", {"a": "Nowhere"})))  # type: ignore[misc] # noqa: F821


@pytest.mark.parametrize("wrong", [0, 4_999, 5_000, 12_345, 19_999])
def test_a_long_list_names_the_wrong_item_wherever_it_is(wrong: int) -> None:
    for hint in (list[float], Annotated[list[float], Field(min_length=7_000)], tuple[float, ...]):
        registry = registry_of(taking(hint))
        values: list[Any] = [0.5] * 20_000
        assert not validate(spec(values), registry=registry)
        values[wrong] = "x"
        assert [p.pointer for p in validate(spec(values), registry=registry)] == [f"/loss/reducer/p/{wrong}"]
    short = validate(spec([0.5] * 6_000), registry=registry_of(taking(Annotated[list[float], Field(min_length=7_000)])))
    assert "at least 7000 items" in str(short)


def test_a_text_is_no_number_of_an_enum() -> None:
    (problem,) = validate(spec("1"), registry=registry_of(taking(Level)))
    assert problem.message == "should be 1 or 2"
    assert strict(Level) is not Level


# -- what is wrong with one component -------------------------------------------------------------------------------------


class Loud(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


def raising(error: BaseException) -> Any:
    def extra(schema: dict[str, Any]) -> None:
        raise error

    return extra


def looping() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


EXTRAS: dict[str, tuple[Any, str]] = {
    "raises": (raising(ValueError("no schema today")), "ValueError: no schema today (at "),
    "exits": (raising(SystemExit(3)), "SystemExit: 3"),
    "raises what has no text": (raising(Loud()), "Loud: (its text cannot be made)"),
    "says much": (raising(ValueError("\x1b[2J" + "x" * 10**6)), "ValueError: \\x1b[2Jxxx"),
    "is an object": ({"x": object()}, "Unable to serialize unknown type: <class 'object'>"),
    "is not finite": ({"maximum": float("nan")}, "ValueError: Out of range float values"),
    "is half a surrogate pair": ({"title": "x", "description2": "\ud800"}, "surrogates not allowed"),
    "contains itself": ({"x": looping()}, "ValueError: Circular reference"),
    "leads nowhere": ({"$ref": "#/$defs/Nowhere"}, "its reference '#/$defs/Nowhere' leads nowhere"),
    "leads below": ({"$ref": "#/$defs/loss/nowhere/3"}, "leads nowhere"),
    "leads out": ({"$ref": "https://example.org/schema.json"}, "its reference 'https://example.org/schema.json' leads nowhere"),
    "leads to the whole": ({"$ref": "#"}, "its reference '#' leads nowhere"),
    "leads to itself": ({"$ref": "#/$defs/reducer.local.c0/properties/p"}, "leads nowhere"),
    "is a mark of no kind": ({"x-metricreg-kind": "optimizer"}, "its reference '#/$defs/optimizer' leads nowhere"),
    "has a place": ({"$id": "https://example.org/"}, "its keyword '$id' may change what references mean"),
    "has an anchor deep inside": ({"allOf": [{"properties": {"a": {"$anchor": "x"}}}]}, "its keyword '$anchor' may change"),
    "is of no type": ({"type": "colour"}, "its keyword 'type' cannot be 'colour'"),
    "has a number for a pattern": ({"pattern": 3}, "its keyword 'pattern' cannot be 3"),
    "has a number for a list": ({"anyOf": 3}, "its keyword 'anyOf' cannot be 3"),
    "has a number for a schema": ({"items": 3}, "3 is no schema"),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTRAS)
def test_one_that_is_wrong_is_left_out_and_named_and_the_others_stay(case: str) -> None:
    extra, says = EXTRAS[case]
    broken = taking(Annotated[float, Field(json_schema_extra=extra)])
    check_left_out(broken, says)


def check_left_out(broken: Any, says: str) -> None:
    registry, without = registry_of(), registry_of()
    for each in (registry, without):
        register(taking(Outer), "outer", registry=each)
    registry.add(Entry("reducer", "local/c0", broken, "acme-broken"))
    with pytest.warns(PluginWarning) as caught:
        schema = json_schema(registry)
    assert schema == json_schema(without)
    Validator.check_schema(schema)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("the JSON Schema leaves out the reducer 'local/c0' of acme-broken: ")
    assert says in text
    assert len(text) < 700
    assert text.isprintable()
    assert not Validator(schema).is_valid(spec(1))


def test_one_whose_class_makes_the_schema_and_raises_is_left_out() -> None:
    class Odd(Reducer):
        """Makes a schema of its own."""

        def reduce(self, term: Any) -> Any:
            return term.sum()

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
            raise SystemExit("no schema")

    check_left_out(taking(Odd), "SystemExit: no schema")


def test_what_cannot_be_loaded_or_only_looks_like_a_component_is_left_out_too() -> None:
    class Lookalike:
        kind = "reducer"

        @classmethod
        def check_declaration(cls, kind: str) -> None:
            """Says yes."""

    check_left_out(Lookalike, "Lookalike is no metricreg component")
    check_left_out("acme_nowhere.module:Class", "No module named 'acme_nowhere'")
    report = validate(spec(1), registry=_with(Lookalike))
    assert "Lookalike" in report[0].message


def _with(target: Any) -> Registry:
    registry = registry_of()
    registry.add(Entry("reducer", "local/c0", target, "acme-broken"))
    return registry


def test_where_warnings_are_errors_the_schema_is_still_made() -> None:
    registry = _with(taking(Annotated[float, Field(json_schema_extra={"$ref": "#/$defs/Nowhere"})]))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("error")
        assert "contrastive" in str(json_schema(registry)["$defs"]["loss"])


def test_what_a_hint_adds_that_is_right_is_kept() -> None:
    extra = {"examples": [1, 2], "deprecated": True, "x-unit": "radian", "not": {"const": 3}}
    registry = registry_of(taking(Annotated[float, Field(json_schema_extra=extra)]))
    schema = json_schema(registry)
    Validator.check_schema(schema)
    found = schema["$defs"]["reducer.local.c0"]["properties"]["p"]
    assert found == {"type": "number", **extra}


def test_a_validator_that_no_schema_shows_is_said_by_validate_alone() -> None:
    def odd(value: int) -> int:
        if value % 2 == 0:
            raise ValueError("should be odd")
        return value

    registry = registry_of(taking(Annotated[int, AfterValidator(odd)]))
    assert Validator(json_schema(registry)).is_valid(spec(2))
    assert "should be odd" in str(validate(spec(2), registry=registry))


KEYWORDS = [
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "multipleOf", "minLength", "maxItems", "uniqueItems", "pattern", "required",
    "properties", "patternProperties", "additionalProperties", "propertyNames", "items", "prefixItems", "contains", "anyOf", "allOf", "not", "if",
    "dependentRequired", "dependentSchemas", "dependencies", "definitions", "$defs", "$ref", "$id", "$schema", "$anchor", "$comment", "$dynamicRef",
    "$vocabulary", "title", "format", "default", "examples", "deprecated", "readOnly", "contentSchema", "unevaluatedItems", "x-own",
]  # fmt: skip
PIECES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-1, 2) | st.sampled_from(["string", "a", "(", "[", "#/$defs/loss", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, derandomize=True, max_examples=2000, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(KEYWORDS), PIECES, max_size=3))
def test_what_is_let_through_is_a_schema(schema: dict[str, Any]) -> None:
    if misuse({"x": schema}, KINDS) is None:
        Validator.check_schema(schema)
