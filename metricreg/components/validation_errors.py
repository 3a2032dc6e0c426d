"""From pydantic's errors to problems that a person can act on: pointer, what was given, what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from metricreg.errors import MAX_PROBLEMS, SHOWN, Problem, cut, said
from metricreg.registry.other_names import OTHER_PARAMETERS

MAX_LINES = 20 * MAX_PROBLEMS
"""How many of pydantic's errors are looked at: of a union it gives several for one problem."""

Branch = tuple[tuple[str | int, ...], int, str | int]


def shown(value: Any) -> str:
    """A value as JSON, or as Python shows it, cut to 100 characters."""
    try:
        return cut(_start_of_json(value))
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return cut(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # a class of somebody else's may raise anything
        return f"<{type_name(value)}>"


def _start_of_json(value: Any) -> str:
    """The first 100 characters, and perhaps more; the rest is not written."""
    text = ""
    for part in json.JSONEncoder().iterencode(value[:SHOWN] if type(value) is str else value):
        text += part
        if len(text) > SHOWN:
            break
    return text


def type_name(value: Any) -> str:
    """The name of a value's class, as Python keeps it, whatever the class says of itself."""
    return said(vars(type)["__name__"].__get__(type(value)), SHOWN)


def pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or the list of what is known."""
    known = list(known)
    if OTHER_PARAMETERS.get(word) in known:
        return f"it is called '{OTHER_PARAMETERS[word]}' here"
    close = difflib.get_close_matches(word, known, 1, 0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else "none is allowed here"


def problems_of(
    error: ValidationError, document: Any, known: Callable[[Any], Sequence[str] | None] = lambda node: None
) -> list[Problem]:
    """Turn pydantic's line errors into problems.

    Args:
        error: what validation raised.
        document: what was validated, as it was given.
        known: for an object of the document, the keys that may stand in it; None if they are not known.
    """
    found = [_Located(line, document) for line in lines_of(error)]
    # Of a union that failed, pydantic reports every branch. The branch that got furthest is what was meant.
    depth: dict[Branch, int] = {}
    for line in found:
        for branch in line.branches:
            depth[branch] = max(depth.get(branch, 0), len(line.path))
    best: dict[Any, int] = {}
    for (path, position, _), reached in depth.items():
        best[path, position] = max(best.get((path, position), 0), reached)
    kept = [line for line in found if all(depth[b] == best[b[0], b[1]] for b in line.branches)]
    # A branch of the right type, whose value does not fit, is meant rather than one of another type.
    meant = {branch[:2] for line in kept if not line.type.endswith("_type") for branch in line.branches}
    kept = [line for line in kept if not (line.type.endswith("_type") and meant & {b[:2] for b in line.branches})]
    merged: dict[tuple[str, str | None], list[str]] = {}
    for line in kept:
        if len(merged) > MAX_PROBLEMS:
            break
        message = cut(line.message(known), 10 * SHOWN)
        messages = merged.setdefault((pointer(line.path), line.given), [])
        if message not in messages:
            messages.append(message)
    problems = []
    for (where, given), messages in merged.items():
        if len(messages) > 1 and all(m.startswith("should be ") for m in messages):
            messages = [", or ".join([messages[0], *(m.removeprefix("should be ") for m in messages[1:])])]
        problems += [Problem(where, message, given) for message in messages]
    return problems


def _stands_in(step: str | int, node: Any) -> bool:
    if isinstance(node, dict):
        return isinstance(step, str) and step in node
    return isinstance(node, list | tuple) and isinstance(step, int) and step < len(node)


def lines_of(error: ValidationError) -> list[Any]:
    """The first of pydantic's errors; where there are many, without what they carry along."""
    if error.error_count() <= MAX_LINES:
        return list(error.errors(include_url=False, include_input=False))
    text = error.json(include_url=False, include_context=False, include_input=False)  # a tenth of the size of objects
    lines: list[Any] = []
    decoder, start = json.JSONDecoder(), 1
    while len(lines) < MAX_LINES:
        line, end = decoder.raw_decode(text, start)
        lines.append(line)
        start = end + 1  # behind a comma
    return lines


class _Located:
    """A line error with its place in the document: the steps that resolve there, union tags dropped."""

    def __init__(self, line: Any, document: Any) -> None:
        self.type: str = line["type"]
        self.text: str = line["msg"]
        self.path: tuple[str | int, ...] = ()
        self.branches: list[Branch] = []
        node: Any = document
        parent: Any = None
        loc = line["loc"]
        for position, step in enumerate(loc):
            if _stands_in(step, node):
                parent, node = node, node[step]
            elif self.type == "missing" and position == len(loc) - 1:
                break
            else:
                self.branches.append((self.path, position, step))
                continue
            self.path += (step,)
        self.node, self.parent = node, parent
        self.last = loc[-1] if loc else ""

    @property
    def given(self) -> str | None:
        """The value as a text, where it says more than the message."""
        of_many = isinstance(self.node, dict | list) and not self.type.endswith("_type")
        return None if of_many or self.type in ("missing", "extra_forbidden", "unknown_key") else shown(self.node)

    def message(self, known: Callable[[Any], Sequence[str] | None]) -> str:
        if self.type == "missing":
            return f"'{self.last}' is required and missing"
        if self.type == "extra_forbidden":
            keys = known(self.parent)
            hint = "" if keys is None else f"; {nearest(str(self.last), keys)}"
            return f"unknown parameter '{cut(str(self.last))}'{hint}"
        text = self.text.removeprefix("Value error, ")
        if text.startswith("Input should be a valid dictionary"):
            text = "Input should be an object"
        return "should " + text.removeprefix("Input should ") if text.startswith("Input should ") else text
