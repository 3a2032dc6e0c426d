"""Problems: pointers that resolve, values that are shown, messages that help."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from metricreg.components.problems import nearest, pointer, problems_of, shown


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: float
    y: float = 0.0


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    points: list[Point] | dict[str, Point] = []
    choice: Literal["a", 1] | list[int] = "a"
    table: dict[str, dict[str, int]] = {}
    colour: Colour = Colour.RED


def found(document: Any, known: Any = lambda _: None) -> list[tuple[str, str]]:
    try:
        Model.model_validate(document)
    except ValidationError as error:
        return [(p.pointer, p.message) for p in problems_of(error, document, known)]
    return []


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("a", 0, "b"), "/a/0/b"), (("a/b", "m~n", "~1"), "/a~1b/m~0n/~01"), (("",), "/"), ((" é",), "/ é")],
)
def test_pointers_follow_rfc_6901(path: tuple[str | int, ...], text: str) -> None:
    assert pointer(path) == text


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True]}, '{"a": [1, null, true]}'),
        (float("nan"), "NaN"),
        (1j, "1j"),
        ({1, 2}, "{1, 2}"),
        pytest.param(10**5000, "<int>", id="huge"),
        (Unprintable(), "<Unprintable>"),
        ("é", '"\\u00e9"'),
    ],
)
def test_values_are_shown_as_json_or_as_python_shows_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_values_are_cut_to_a_hundred_characters() -> None:
    assert len(shown("x" * 10**6)) == 100
    assert shown(list(range(1000))).endswith("...")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown(deep)) <= 100


def test_the_nearest_name_is_suggested_or_all_are_listed() -> None:
    assert nearest("neg_margn", ["pos_margin", "neg_margin"]) == "did you mean 'neg_margin'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
    assert nearest("zzz", []) == "none is allowed here"


def test_union_tags_are_no_part_of_a_pointer() -> None:
    assert found({"points": [{"x": 1}, {"x": "a"}]}) == [
        ("/points/1/x", "should be a valid number, unable to parse string as a number")
    ]
    assert {where for where, _ in found({"points": {"list[Point]": {"y": 1}}})} == {"/points/list[Point]"}


def test_the_branches_of_a_union_that_got_equally_far_are_merged() -> None:
    assert found({"choice": "b"}) == [("/choice", "should be 'a' or 1, or a valid list")]
    assert [where for where, _ in found({"choice": [1, "b"]})] == ["/choice/1"]


def test_a_missing_key_is_located_at_the_object_that_lacks_it() -> None:
    assert found({"points": [{"y": 1}]}) == [("/points/0", "'x' is required and missing")]


def test_an_unknown_key_is_located_at_itself_with_what_is_known() -> None:
    document = {"points": [{"x": 1, "z": 2}]}
    assert found(document) == [("/points/0/z", "unknown parameter 'z'")]
    assert found(document, lambda node: ["x", "y"] if node is document["points"][0] else None) == [
        ("/points/0/z", "unknown parameter 'z'; known: x, y")
    ]


def test_an_object_is_what_pydantic_calls_a_dictionary() -> None:
    assert found({"table": {"a": 3}}) == [("/table/a", "should be an object")]


def test_long_names_are_cut_in_messages() -> None:
    ((where, message),) = found({"q" * 5000: 1})
    assert len(where) == 5001
    assert len(message) < 150


def test_thousands_of_problems_are_cut_to_a_little_over_a_hundred() -> None:
    assert 100 < len(found({"points": [{}] * 5000})) < 110
