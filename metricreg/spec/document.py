"""Documents: reading JSON, TOML and YAML, and refusing what is not plain data before anything looks at it."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metricreg.components.type_hints import LEARNED
from metricreg.components.validation_errors import pointer, shown, type_name
from metricreg.errors import MAX_PROBLEMS, SHOWN, Problem, SpecError, cut, printable

MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_MARKS = 2 * MAX_NODES
"""Commas and opening brackets of a JSON text: at least a value has one, and at most two."""
MAX_KEYS = 10_000
"""Of one object."""
MAX_TEXT = 10_000
"""Characters of one string or key."""
MAX_CHARACTERS = 2**20
"""Of all strings and keys."""
MAX_BYTES = {"JSON": 2**21, "TOML": 2**15, "YAML": 2**15}
"""Of a file. Values of TOML and YAML are read some twenty times slower than those of JSON."""
MAX_DIGITS = 400
MAX_DOTS = MAX_DEPTH

_CHAIN = re.compile(rf"""(?<![\w"'-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{MAX_DOTS}}}""")
_DIGITS = re.compile(rf"(?<![0-9_])[0-9][0-9_]{{{MAX_DIGITS}}}")
_EXPONENT = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_OTHER_BASES = re.compile(r"[-+]?(?:0[0-7_]+$|0b|[0-9][0-9_]*:)")
"""What YAML 1.1 reads as octal, binary, or sexagesimal numbers."""
_TOO_DEEP = f"more than {MAX_DEPTH} nested objects and lists"
_LARGEST = sys.float_info.max

Path_ = tuple[str | int, ...]


def plain(document: Any) -> Any:
    """A copy made of dicts, lists, strings, numbers, booleans and None only.

    Of an object whose class is derived from dict, list or tuple it copies what that holds, and calls nothing that the
    class itself defines.

    Raises:
        SpecError: more than 32 nested containers, more than 100,000 values, a text of more than 10,000 characters, more
            than a million characters in all, a container inside itself, a type that JSON does not have, NaN, infinity,
            or a key that is no string.
    """
    copy = _Copy()
    result = copy.of(document, (), ())
    if copy.problems:
        raise SpecError(copy.problems)
    return result


class _Copy:
    """Copies a document, counts what is in it, and notes what is no JSON."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.values, self.characters = 1, 0

    def of(self, value: Any, path: Path_, inside: tuple[int, ...]) -> Any:
        """The copy of a value that stands at a path, inside containers with these ids."""
        base: Any = next((base for base in (dict, list, tuple) if issubclass(type(value), base)), None)
        if base is None:
            return self._scalar(value, path)
        if id(value) in inside:
            return self._refuse(path, "a container that contains itself is no JSON")
        if len(inside) >= MAX_DEPTH:
            return self._refuse(path, _TOO_DEEP)
        self.values += base.__len__(value)  # counted before they are looked at: shared containers would have no end
        if self.values > MAX_NODES:
            raise SpecError(f"the document has more than {MAX_NODES:,} values")
        if base is dict and dict.__len__(value) > MAX_KEYS:
            return self._refuse(path, f"an object has at most {MAX_KEYS:,} keys; this one has {dict.__len__(value):,}")
        inside += (id(value),)
        if base is dict:
            return {k: self.of(v, (*path, k), inside) for k, v in list(dict.items(value)) if self._is_key(k, path)}
        return [self.of(v, (*path, i), inside) for i, v in enumerate(base.__iter__(value))]

    def _is_key(self, key: Any, path: Path_) -> bool:
        problem = self._text_problem(key) if type(key) is str else "a key is a string"
        if problem:
            self._refuse(path, f"the keys of an object are text; got {_shown(key) or type_name(key)}: {problem}")
        return not problem

    def _scalar(self, value: Any, path: Path_) -> Any:
        if issubclass(type(value), np.generic):
            value = np.generic.item(value)
        problem = None
        if value is None or type(value) is bool:
            return value
        if type(value) is str:
            problem = self._text_problem(value)
        elif type(value) is float:
            problem = None if math.isfinite(value) else "numbers are finite"
        elif type(value) is int:
            problem = None if -_LARGEST <= value <= _LARGEST else "numbers are at most as large as a float"
        else:
            allowed = "objects, lists, strings, numbers, true, false and null"
            problem = f"{type_name(value)} is no JSON type; a spec is made of {allowed}"
            if issubclass(type(value), torch.nn.Parameter):
                problem = f"{problem}. A number that is learned is given by what it is at first: {LEARNED}"
        if problem:
            self._refuse(path, problem, _shown(value))
        return value

    def _text_problem(self, text: str) -> str | None:
        """What is wrong with a string or key."""
        self.characters += len(text)
        if self.characters > MAX_CHARACTERS:
            raise SpecError(f"the strings and keys of the document have more than {MAX_CHARACTERS:,} characters")
        if len(text) > MAX_TEXT:
            return f"a text has at most {MAX_TEXT:,} characters; this one has {len(text):,}"
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can escape it, and UTF-8 cannot write it
            return "half of a surrogate pair is no text"
        return None

    def _refuse(self, path: Path_, message: str, given: str | None = None) -> None:
        self.problems.append(Problem(pointer(path), message, given))
        if len(self.problems) == MAX_PROBLEMS:
            raise SpecError(self.problems)


_SHOWN_TYPES = (str, int, float, bool, type(None), datetime.date, datetime.datetime, datetime.time)


def _shown(value: Any) -> str | None:
    """A scalar as a text; None for what might take long to be shown, or do something."""
    return shown(value) if type(value) in _SHOWN_TYPES else None


SUFFIXES = (".json", ".toml", ".yaml", ".yml")
"""Of files that can be read."""
_LANGUAGES = dict(zip(SUFFIXES, ("JSON", "TOML", "YAML", "YAML"), strict=True))


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a spec from a `.json`, `.toml`, `.yaml` or `.yml` file, as data: `build(load(path))`.

    Raises:
        SpecError: a file that cannot be read, is not of its format, has more than 2 MiB of JSON or 32 KiB of TOML or
            YAML, or has duplicate keys, NaN or Infinity.
    """
    return read_text(text_of(path), Path(path).suffix, f"cannot read {printable(str(path))}")


def text_of(path: str | os.PathLike[str]) -> str:
    """The text of a file that `load` reads, without a byte-order mark, its line ends as they are.

    Raises:
        SpecError: a file of another type, that cannot be read, is too large, or no UTF-8.
    """
    file = Path(path)
    language = _LANGUAGES.get(file.suffix.lower())
    if language is None:
        raise SpecError(
            f"{file}: unknown file type '{file.suffix}'; expected one of {', '.join(SUFFIXES)}", "cannot read"
        )
    cannot = f"cannot read {printable(str(file))}"
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES[language] + 1)
        if len(data) > MAX_BYTES[language]:
            raise ValueError(_too_large(language))
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SpecError(_reason(error), cannot) from error


def read_text(text: str, suffix: str, cannot: str = "cannot read the spec") -> dict[str, Any]:
    """The document that a text is, in the format of files with a suffix; raises `SpecError` titled `cannot`."""
    return _read(text.encode(), _LANGUAGES[suffix.lower()], cannot)


def spec_in(document: dict[str, Any]) -> tuple[Any, str]:
    """The spec in a document, and a JSON pointer to it: an experiment has it in `pipeline`."""
    inside = "pipeline" in document and "loss" not in document
    return (document["pipeline"], "/pipeline") if inside else (document, "")


def is_written(text: str) -> bool:
    """Whether a text is a spec itself, as JSON, and no name or path."""
    return text.lstrip().startswith("{")


def loads(text: str) -> dict[str, Any]:
    """Read a spec from JSON, as `load` does from a file.

    Raises:
        SpecError: text that is no JSON object, is larger than 2 MiB, or has duplicate keys, NaN or Infinity.
    """
    cannot = "cannot read the spec"
    if len(text) > MAX_BYTES["JSON"]:
        raise SpecError(_too_large("JSON"), cannot)
    return _read(text.encode("utf-8", "surrogatepass"), "JSON", cannot)


def _read(data: bytes, language: str, cannot: str) -> dict[str, Any]:
    try:
        if len(data) > MAX_BYTES[language]:
            raise ValueError(_too_large(language))
        text = data.decode("utf-8-sig")
        if _DIGITS.search(text):  # of which Python, and YAML's 1:59:59, take the square of the number
            raise ValueError(f"the document has more than {MAX_DIGITS} digits in a row")
        document = plain(_READERS[language](text))
    except SpecError as error:
        raise SpecError(error.problems, cannot) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(_TOO_DEEP if isinstance(error, RecursionError) else _reason(error), cannot) from error
    if not isinstance(document, dict):
        raise SpecError(f"expected an object, got {shown(document)}", cannot)
    return document


def _too_large(language: str) -> str:
    room = {
        name: f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB" for name, most in MAX_BYTES.items()
    }
    mend = "" if language == "JSON" else f"; write it as JSON, which may have {room['JSON']}"
    return f"a {language} document is no larger than {room[language]}{mend}"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is not UTF-8 text" if isinstance(error, UnicodeError) else cut(" ".join(str(error).split()), 3 * SHOWN)


def _json(text: str) -> Any:
    if sum(map(text.count, ",[{")) > MAX_MARKS:  # what is read takes a hundred times the memory of the text
        raise ValueError(f"the document has more than {MAX_MARKS:,} commas and opening brackets")
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r:.60} stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number; numbers are finite")


def _toml(text: str) -> Any:
    try:
        import tomllib  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError:
            raise ValueError("TOML files need tomli on Python 3.10: pip install 'metricreg[toml]'") from None
    if _CHAIN.search(text):  # of which tomllib takes the square of the length, in time and memory
        raise ValueError(f"a key has more than {MAX_DOTS} dots")
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ValueError("YAML files need PyYAML: pip install 'metricreg[yaml]'") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
        """Plain data only, and no key twice."""

        depth = 0

        def process_directives(self) -> Any:
            parser: Any = super()
            if parser.check_token(yaml.DirectiveToken) and parser.peek_token().name == "TAG":
                raise ValueError("%TAG is not supported; specs are plain data")  # every node would keep a copy
            return parser.process_directives()

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > MAX_DEPTH + 1:  # a scalar counts too
                raise ValueError(_TOO_DEEP)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def flatten_mapping(self, node: Any) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":  # merged merges grow without bound
                    raise ValueError(f"merge keys (<<) are not supported; write the values out{key.start_mark}")

    def number(loader: Any, node: Any) -> Any:
        if len(str(node.value)) > MAX_DIGITS:  # 1:59:59:... is one number to YAML, and takes the square of its length
            raise ValueError(f"a number has more than {MAX_DIGITS} digits{node.start_mark}")
        if _OTHER_BASES.match(str(node.value)):
            raise ValueError(
                f"{node.value} is a number of another base in YAML 1.1, and none or another in YAML 1.2; write it in "
                f"decimal, or in quotes if it is text{node.start_mark}"
            )
        kind = node.tag.rpartition(":")[2]
        return getattr(loader, f"construct_yaml_{kind}")(node)

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        loader.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ValueError(f"the keys of an object are strings; got {key!r:.60}{key_node.start_mark}")
            if key in found:
                raise ValueError(f"the key {key!r:.60} stands twice in one object{key_node.start_mark}")
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", number)
    # a number to YAML 1.2 and to everybody, and text to YAML 1.1
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)
    except RecursionError:
        raise
    except Exception as error:  # of a value that does not fit its tag, such as !!int '', PyYAML raises anything
        text = str(error) if isinstance(error, yaml.YAMLError | ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(text) from error


_READERS: dict[str, Callable[[str], Any]] = {"JSON": _json, "TOML": _toml, "YAML": _yaml}
