"""Errors: what they are besides, what they say, and that they travel."""

from __future__ import annotations

import copy
import pickle

import pytest

from metricreg import errors
from metricreg.errors import MAX_PROBLEMS, InputError, Problem, SpecError, cut, said_by


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.SpecError, ValueError),
        (errors.RegistrationError, TypeError),
        (errors.PluginError, RuntimeError),
        (errors.InputError, ValueError),
        (errors.ExperimentError, ValueError),
    ],
)
def test_every_error_is_a_metricreg_error_and_the_builtin_one_a_caller_expects(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, (errors.MetricregError,)) and issubclass(error, builtin)  # noqa: PT018


def test_one_problem_is_said_on_one_line() -> None:
    assert str(SpecError([Problem("/loss/p", "should be positive", "-1")])) == (
        "invalid spec: /loss/p: should be positive (given: -1)"
    )
    assert str(SpecError("no file", "cannot read x.json")) == "cannot read x.json: no file"


def test_several_problems_are_listed_one_a_line() -> None:
    text = str(SpecError([Problem("/a", "wrong"), Problem("", "worse", "{}")], "invalid arguments of X"))
    assert text == "invalid arguments of X: 2 problems\n  /a: wrong\n  (top level): worse (given: {})"


def test_at_most_a_hundred_problems_are_kept() -> None:
    assert len(SpecError([Problem(f"/{i}", "wrong") for i in range(1000)]).problems) == MAX_PROBLEMS == 100


def test_a_long_pointer_is_kept_whole_and_shown_cut() -> None:
    problem = Problem("/" + "a" * 10_000, "wrong")
    assert len(problem.pointer) == 10_001
    assert len(str(problem)) < 400


def test_cut_text_has_the_asked_length() -> None:
    assert cut("a" * 100) == "a" * 100
    assert cut("a" * 101) == "a" * 97 + "..."
    assert cut("abcdef", 5) == "ab..."


@pytest.mark.parametrize("travel", [copy.deepcopy, copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_spec_error_survives_copying_and_pickling(travel: object) -> None:
    error = SpecError([Problem("/a", "wrong", "1"), Problem("/b", "wrong")], "invalid thing")
    again = travel(error)  # type: ignore[operator]
    assert type(again) is SpecError
    assert (again.problems, again.title, str(again)) == (error.problems, error.title, str(error))


def test_what_a_spec_puts_into_a_message_cannot_reach_the_terminal() -> None:
    problem = Problem("/loss/\x1b[2J\nspec.json: valid", "unknown parameter '\x1b[2J\n\ud800'", '"x"')
    assert str(problem).isprintable()
    assert "\\x1b[2J\\nspec.json" in str(problem)
    assert "\\ud800" in str(SpecError([problem]))
    assert str(SpecError("bad \x07 key")).isprintable()


class Unsayable(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (ValueError("a\x1b[31mb\nc"), "ValueError: a\\x1b[31mb\\nc"),
        (ValueError("x" * 10**6), "ValueError: " + "x" * 297 + "..."),
        (ValueError("\x1b" * 10**6), "ValueError: " + "\\x1b" * 74 + "\\..."),
        (Unsayable(), "Unsayable: (its text cannot be made)"),
        (type("\x1bOdd", (Exception,), {})("odd"), "\\x1bOdd: odd"),
        (InputError("ours"), "ours"),
    ],
)
def test_what_an_exception_says_is_cut_and_on_one_line(given: BaseException, text: str) -> None:
    assert said_by(given) == text
