"""Problems: pointers that resolve, values that are shown, messages that help."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg.components.validation_errors import nearest, pointer, shown


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
