"""A file of a spec with a few changes: all else in its text, comments and layout too, stays as it is.

Each change is tried at the places where the text could have it, and kept at the first that makes the text say just what
it should, as it is read again. So nothing else can change, in whichever format it is written.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from metricreg.errors import SpecError
from metricreg.spec.document import read_text

MOST_PLACES = 200
"""How many places are looked at for one change."""
INDENT = 2

Candidates = Callable[[str, str, Any], Iterator[str]]
"""What a text might be with a change: of the text, the suffix of its format, and the document that it is then."""


def rewritten(text: str, suffix: str, changes: Iterable[tuple[Candidates, Any]], cannot: str) -> str:
    """A text with changes, one after the other.

    Args:
        text: of a file.
        suffix: the file's, which says in which format it is.
        changes: each with the whole document as it is after it.
        cannot: the title of the error.

    Raises:
        SpecError: a change that cannot be made in this text.
    """
    for candidates, document in changes:
        places = islice(candidates(text, suffix, document), MOST_PLACES)
        found = next((each for each in places if _says(each, suffix, document)), None)
        if found is None:
            raise SpecError(
                "its text cannot be changed as is needed with all else left as it is; "
                "write the result as JSON: --output FILE.json",
                cannot,
            )
        text = found
    return text


def _says(text: str, suffix: str, document: Any) -> bool:
    try:
        return bool(read_text(text, suffix) == document)
    except SpecError:
        return False


def as_json(document: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(document, indent=INDENT, ensure_ascii=False) + "\n"


# -- changes ----------------------------------------------------------------------------------------------------------


def word(old: str, new: str) -> Candidates:
    """One word for another: at one of its places, or at all."""
    pattern = re.compile(rf"(?<![\w/-]){re.escape(old)}(?![\w/-])")

    def candidates(text: str, suffix: str, document: Any) -> Iterator[str]:
        for match in pattern.finditer(text):
            yield text[: match.start()] + new + text[match.end() :]
        yield pattern.sub(lambda _: new, text)

    return candidates


def member(inside: tuple[str, ...], key: str, value: Any, old: Any = None) -> Candidates:
    """An object's member, another one in the place of the one that is there, or one more.

    Args:
        inside: the keys that lead to the object.
        key: its name.
        value: what it is then: text, or an object of texts.
        old: the text that is there; None if there is none.
    """

    def candidates(text: str, suffix: str, document: Any) -> Iterator[str]:
        if isinstance(old, str):
            yield from _each(text, old, value)  # in the quotes that are there
            for quoted in (old, json.dumps(old), f"'{old}'"):
                yield from _each(text, quoted, json.dumps(value))
        elif suffix.lower() == ".toml":
            yield from _into_toml(text, inside, key, value)
        elif suffix.lower() == ".json":
            yield from _into_braces(text, inside, key, value)
        else:
            yield from _into_lines(text, inside, key, value)
            yield from _into_braces(text, inside, key, value)

    return candidates


def anew(text: str, suffix: str, document: Any) -> Iterator[str]:
    """Another text altogether, which only JSON has: it has no comments that would be lost."""
    if suffix.lower() == ".json":
        yield as_json(document)


def _each(text: str, old: str, new: str) -> Iterator[str]:
    for match in re.finditer(re.escape(old), text):
        yield text[: match.start()] + new + text[match.end() :]


def _into_braces(text: str, inside: tuple[str, ...], key: str, value: Any) -> Iterator[str]:
    """A last member of an object in braces, or the first one of an empty object."""
    opening = rf"""["']?{re.escape(inside[-1])}["']?\s*:\s*\{{""" if inside else r"\A[^{]*\{"
    line = f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
    for match in re.finditer(opening, text):
        gap = text[match.end() : _after_space(text, match.end())]
        for end in _ends(text, match.end() - 1):
            before = text[:end].rstrip()
            comma = "" if before.endswith(",") else ","
            yield f"{before}{comma}{gap or ' '}{line}{text[len(before) :]}"
            if len(before) == match.end():
                yield f"{before}{line}{text[end:]}"


def _ends(text: str, start: int) -> Iterator[int]:
    """Where the brace stands that ends an object: known in JSON, and any in YAML, the last one first."""
    try:
        yield json.JSONDecoder().raw_decode(text, start)[1] - 1
    except ValueError:
        yield from (at for at in range(len(text) - 1, start, -1) if text[at] == "}")


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _into_lines(text: str, inside: tuple[str, ...], key: str, value: Any) -> Iterator[str]:
    """A first line of a YAML block below its key, or lines at the end of the whole."""
    newline = "\r\n" if "\r\n" in text else "\n"
    for quoted in (str, json.dumps):  # a name such as `on` is text in quotes alone
        if not inside:
            first = re.search(r"^( *)[^\s#%-]", text, re.M)
            whole = text if text.endswith("\n") else text + newline
            yield whole + _lines(key, value, first[1] if first else "", newline, quoted)
            continue
        for match in re.finditer(rf"""^( *)["']?{re.escape(inside[-1])}["']?:[^\n]*\n""", text, re.M):
            indent = re.match(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*( *)", text[match.end() :])
            lines = _lines(key, value, indent[1] if indent else "", newline, quoted)
            yield text[: match.end()] + lines + text[match.end() :]


def _lines(key: str, value: Any, indent: str, newline: str, quoted: Callable[[str], str]) -> str:
    if not isinstance(value, dict):
        return f"{indent}{quoted(key)}: {json.dumps(value)}{newline}"
    inner = (_lines(name, text, indent + " " * INDENT, newline, quoted) for name, text in value.items())
    return f"{indent}{key}:{newline}{''.join(inner)}"


def _into_toml(text: str, inside: tuple[str, ...], key: str, value: Any) -> Iterator[str]:
    """A line below the header of its table, a member of an inline table, or a table at the end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    members = value if isinstance(value, dict) else {key: value}
    lines = [f"{_toml_key(name)} = {json.dumps(each)}" for name, each in members.items()]
    below = newline.join(lines) + newline
    table = [_toml_key(step) for step in ((*inside, key) if isinstance(value, dict) else inside)]
    dotted = r"\s*\.\s*".join(map(re.escape, table))
    for match in re.finditer(rf"^[ \t]*\[\s*{dotted}\s*\][^\n]*\n", text, re.M):
        yield text[: match.end()] + below + text[match.end() :]
    for match in re.finditer(rf"{re.escape(table[-1])}\s*=\s*\{{\s*", text):
        yield f"{text[: match.end()]}{', '.join(lines)}, {text[match.end() :]}"
        yield f"{text[: match.end()]}{', '.join(lines)}{text[match.end() :]}"
    whole = text if text.endswith("\n") else text + newline
    yield f"{whole}{newline}[{'.'.join(table)}]{newline}{below}"
    yield "".join(f"{'.'.join(table)}.{line}{newline}" for line in lines) + text


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


# -- files ------------------------------------------------------------------------------------------------------------


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name beside it, and then let that take its place: it is never half-written.

    What a link leads to is written, with the permissions and the byte-order mark that are there.

    Raises:
        SpecError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            mark = b"\xef\xbb\xbf" if target.is_file() and _begins(target, b"\xef\xbb\xbf") else b""
            with part.open("xb") as file:
                file.write(mark + text.encode())
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            part.replace(target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError(error.strerror or str(error), f"cannot write {path}") from error


def _begins(file: Path, mark: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(mark)) == mark
