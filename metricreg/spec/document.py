"""Documents: reading JSON, TOML and YAML, and refusing what is not plain data before anything looks at it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metricreg.components.validation_errors import pointer, shown
from metricreg.errors import MAX_PROBLEMS, Problem, SpecError

SUFFIXES = (".json", ".toml", ".yaml", ".yml")
"""Of files that can be read."""
MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_BYTES = 16 * 2**20
MAX_BITS = 1023
MAX_DIGITS = 400
MAX_DOTS = 200

_CHAIN = re.compile(rf"""(?<![\w"'-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{MAX_DOTS}}}""")
_EXPONENT = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")

Path_ = tuple[str | int, ...]


def plain(document: Any) -> Any:
    """A copy made of dicts, lists, strings, numbers, booleans and None only.

    Raises:
        SpecError: more than 32 nested containers, more than 100,000 nodes, a container inside itself, a type that JSON
            does not have, NaN, infinity, or a key that is no string.
    """
    problems: list[Problem] = []
    result: list[Any] = [None]
    # what to copy, where to, under which key, at which path, inside which containers
    todo: list[tuple[Any, Any, Any, Path_, tuple[int, ...]]] = [(document, result, 0, (), ())]
    nodes = 1
    while todo and len(problems) < MAX_PROBLEMS:
        value, target, key, path, inside = todo.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) in inside:
                problems.append(Problem(pointer(path), "a container that contains itself is no JSON"))
                continue
            if len(inside) >= MAX_DEPTH:
                problems.append(Problem(pointer(path), f"more than {MAX_DEPTH} nested objects and lists"))
                continue
            nodes += len(value)  # counted before they are queued: shared containers would queue up without end
            if nodes > MAX_NODES:
                raise SpecError(f"the document has more than {MAX_NODES:,} values")
            inside += (id(value),)
            if isinstance(value, dict):
                copy: Any = {k: None for k in value if type(k) is str}
                strange = [k for k in value if type(k) is not str or not _is_text(k)]
                problems += [Problem(pointer(path), f"the keys of an object are text; got {k!r:.60}") for k in strange]
                children = [(k, value[k]) for k in copy]
            else:
                copy = [None] * len(value)
                children = list(enumerate(value))
            todo += [(child, copy, k, (*path, k), inside) for k, child in reversed(children)]
            target[key] = copy
            continue
        value = value.item() if isinstance(value, np.generic) else value
        target[key] = value
        if value is not None and type(value) not in (str, int, float, bool):
            allowed = "objects, lists, strings, numbers, true, false and null"
            message = f"{type(value).__name__} is no JSON type; a spec is made of {allowed}"
            problems.append(Problem(pointer(path), message, shown(value)))
        elif type(value) is float and not math.isfinite(value):
            problems.append(Problem(pointer(path), "numbers are finite", repr(value)))
        elif type(value) is int and value.bit_length() > MAX_BITS:
            problems.append(Problem(pointer(path), "numbers are at most as large as a float"))
        elif type(value) is str and not _is_text(value):
            problems.append(Problem(pointer(path), "half of a surrogate pair is no text", shown(value)))
    if problems:
        raise SpecError(problems)
    return result[0]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot write
        return False
    return True


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a spec from a `.json`, `.toml`, `.yaml` or `.yml` file, as data: `build(load(path))`.

    Raises:
        SpecError: a file that cannot be read, is not of its format, or has duplicate keys, NaN or Infinity.
    """
    return read_text(text_of(path), Path(path).suffix, f"cannot read {path}")


def text_of(path: str | os.PathLike[str]) -> str:
    """The text of a file that `load` reads, without a byte-order mark, its line ends as they are.

    Raises:
        SpecError: a file of another type, that cannot be read, is too large, or no UTF-8.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise SpecError(
            f"{file}: unknown file type '{file.suffix}'; expected one of {', '.join(SUFFIXES)}", "cannot read"
        )
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"the file is larger than {MAX_BYTES // 2**20} MiB")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SpecError(_reason(error), f"cannot read {file}") from error


def read_text(text: str, suffix: str, cannot: str = "cannot read the spec") -> dict[str, Any]:
    """The document that a text is, in the format of files with a suffix; raises `SpecError` titled `cannot`."""
    readers = dict(zip(SUFFIXES, (_json, _toml, _yaml, _yaml), strict=True))
    return _object(text, readers[suffix.lower()], cannot)


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
        SpecError: text that is no JSON object, or has duplicate keys, NaN or Infinity.
    """
    return _object(text, _json, "cannot read the spec")


def _object(text: str, reader: Callable[[str], Any], cannot: str) -> dict[str, Any]:
    try:
        document = plain(reader(text))
    except SpecError as error:
        raise SpecError(error.problems, cannot) from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _reason(error)
        raise SpecError(reason, cannot) from error
    if not isinstance(document, dict):
        raise SpecError(f"expected an object, got {shown(document)}", cannot)
    return document


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else " ".join(str(error).split())


def _json(text: str) -> Any:
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
        """Plain data only, of a size that is parsed in seconds, and no key twice."""

        nodes = 0

        def process_directives(self) -> Any:
            parser: Any = super()
            if parser.check_token(yaml.DirectiveToken) and parser.peek_token().name == "TAG":
                raise ValueError("%TAG is not supported; specs are plain data")  # every node would keep a copy
            return parser.process_directives()

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.nodes += index is not None  # None for a key
            if self.nodes > MAX_NODES:
                raise ValueError(f"the document has more than {MAX_NODES:,} values")
            return super().compose_node(parent, index)

    def number(loader: Any, node: Any) -> Any:
        if len(str(node.value)) > MAX_DIGITS:  # 1:59:59:... is one number to YAML, and takes the square of its length
            raise ValueError(f"a number has more than {MAX_DIGITS} digits{node.start_mark}")
        kind = node.tag.rpartition(":")[2]
        return getattr(loader, f"construct_yaml_{kind}")(node)

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # merged merges grow without bound
                raise ValueError(f"merge keys (<<) are not supported; write the values out{key_node.start_mark}")
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
        said = error if isinstance(error, yaml.YAMLError | ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(str(said)) from error
