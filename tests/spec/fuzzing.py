"""Random and mutated documents, as objects and as texts, of which none may raise anything but a MetricregError.

`python -m tests.spec.fuzzing --examples 100000` tries so many, and prints what came of them, and those that took longest and
most memory. `test_fuzzing.py` tries a few.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import heapq
import json
import reprlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import metricreg
from metricreg import SpecError
from metricreg.spec.document import plain
from metricreg.spec.spec import parse
from tests.spec.test_spec import JSON_LIKE, KEYS, NAMES, plausible

MOST_VALUES = 2**20
"""Parameters and buffers of what is built here."""


class Text(NamedTuple):
    """A file: its suffix, and what it holds."""

    suffix: str
    content: bytes


# -- documents --------------------------------------------------------------------------------------------------------------


class Table(dict):  # type: ignore[type-arg]
    """A dict that does not do what dicts do."""

    def __iter__(self) -> Any:
        raise SystemExit("iterated")

    __len__ = __getitem__ = __eq__ = __contains__ = items = keys = values = get = __iter__  # type: ignore[assignment]
    __hash__ = None


class Row(list):  # type: ignore[type-arg]
    """A list that does not do what lists do."""

    def __iter__(self) -> Any:
        return iter(lambda: self, None)

    def __len__(self) -> int:
        return 10**9


def _loop() -> Any:
    loop: dict[str, Any] = {"name": "multiple"}
    loop["losses"] = [loop, loop]
    return loop


def _bomb() -> Any:
    bomb: Any = "contrastive"
    for _ in range(25):
        bomb = {"name": "multiple", "losses": [bomb, bomb]}
    return bomb


def _deep(levels: int) -> Any:
    value: Any = 0
    for i in range(levels):
        value = [value] if i % 2 else {"losses": value}
    return value


LARGE: list[Any] = [
    10**400, 2**63, -(2**63) - 1, 2**31, 10**6, 2**20, 4096, 2048, 1e308, -1e308, 5e-324, 1e-300, float("nan"), float("inf"), -0.0,
]  # fmt: skip
STRANGE: list[Callable[[], Any]] = [
    _loop, _bomb, lambda: -(10**5000), lambda: _deep(31), lambda: _deep(40), lambda: _deep(3000), lambda: Table(name="mean"), lambda: Row(["mean"]), lambda: {1, 2},
    lambda: b"bytes", lambda: object(), lambda: {1: 2}, lambda: {None: {}}, lambda: "x" * 10_001, lambda: "\ud800", lambda: "contrastive" * 900,
    lambda: [0.5] * 20_000, lambda: ["x"] * 20_000, lambda: [[]] * 20_000, lambda: ["mean"] * 1_500, lambda: {f"k{i}": 1 for i in range(3_000)},
    lambda: (1, (2, ())), lambda: range(3), lambda: 1j, lambda: "\x1b[2J\x00", lambda: {"name": "mean" * 500}, lambda: [None] * 120_000,
]  # fmt: skip
WRONG: st.SearchStrategy[Any] = (
    JSON_LIKE | st.sampled_from(LARGE) | st.sampled_from(NAMES) | st.sampled_from(STRANGE).map(lambda make: make())
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    deep = len(path) > 9
    inner = () if deep else value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    return [path, *(place for key, each in inner for place in _places(each, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Callable[[Any], Any]) -> Any:
    if not path:
        return new(value)
    made = value.copy()
    made[path[0]] = _replaced(value[path[0]], path[1:], new)
    return made


def _one_change(draw: st.DrawFn, spec: Any) -> Any:
    places = _places(spec)
    path = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "replace", "swap", "wrap", "remove", "add", "repeat"]))
    if kind == "remove":
        if not path:
            return spec
        *above, last = path
        return _replaced(spec, tuple(above), lambda old: _without(old, last))
    if kind == "swap":
        found = spec
        for step in draw(st.sampled_from(places)):
            found = found[step]
        return _replaced(spec, path, lambda old: found)
    if kind == "repeat":
        times = draw(st.sampled_from([2, 3, 30, 300, 3000]))
        return _replaced(spec, path, lambda old: [old] * times)
    key, new = draw(st.sampled_from(KEYS)), draw(WRONG)
    if kind == "wrap":
        return _replaced(spec, path, lambda old: {key: old, "name": "multiple"} if key else [old])
    return _replaced(spec, path, lambda old: {**old, key: new} if kind == "add" and type(old) is dict else new)


def _without(old: Any, key: Any) -> Any:
    return (
        [v for i, v in enumerate(old) if i != key] if type(old) is list else {k: v for k, v in old.items() if k != key}
    )


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A plausible spec with some of its places replaced, repeated, wrapped, added to or removed."""
    spec = draw(plausible())
    for _ in range(draw(st.integers(0, 3))):
        if len(_places(spec)) < 2_000:
            spec = _one_change(draw, spec)
    return spec


# -- texts ------------------------------------------------------------------------------------------------------------------


def toml(value: Any) -> str:
    """A value as an inline one of TOML, as far as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "nan" if value is None else json.dumps(value)


def written(document: Any, language: str, style: int) -> str:
    """A document as a text."""
    if language == ".json":
        return json.dumps(document, indent=style or None)
    if language == ".toml":
        return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())
    return yaml.safe_dump(document, default_flow_style=bool(style), allow_unicode=style > 1, width=10**6)


PARTS = [
    "{", "}", "[", "]", ",", ":", '"', "'", "\\", "\n", " ", "\t", "#", "=", ".", "-", "- ", "? ", ": ", "&a ", "*a", "!!", "!!int ", "!!float ", "!!set ",
    "!!binary ", "!!timestamp ", "!!omap ", "!!python/object:os.system ", "!!merge ", "<<: ", "|\n", ">-\n", "%YAML 1.1\n---\n", "%TAG ! b\n---\n", "---\n", "...\n",
    "[[a]]\n", "[a.b]\n", "a.b.c = 1\n", '"""', "'''", "0x", "0o7", "1e9", "1e999", "-inf", "nan", ".inf", "NaN", "Infinity", "1979-05-27", "07:32:00",
    "1:59:59", "true", "null", "~", "yes", "\ufeff", "\x00", "\x85", "\u2028", "\\ud800", "\\u0000", "\\U0010FFFF", "é", "😀", "/*", "//", "\r", "_", "1_000",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """The text of a plausible spec, of which spans are removed, doubled or moved, and to which parts are added."""
    language = draw(st.sampled_from([".json", ".toml", ".yaml"]))
    document = draw(plausible() | JSON_LIKE) if draw(st.integers(0, 3)) else draw(mutated())
    document = document if isinstance(document, dict) else {"loss": document}
    try:
        text = written(plain(document), language, draw(st.integers(0, 2)))
    except Exception:  # what JSON does not have, or the format
        text = draw(st.text(max_size=50))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 2, 5, 20, 1000])))
        part = draw(st.sampled_from(PARTS) | st.text(max_size=4)) * draw(
            st.sampled_from([1, 1, 1, 1, 2, 40, 500, 3000])
        )
        kind = draw(st.sampled_from(["add", "replace", "remove", "double", "move"]))
        span = text[start:end]
        if kind == "move":
            rest = text[:start] + text[end:]
            at = draw(st.integers(0, len(rest)))
            text = rest[:at] + span + rest[at:]
        else:
            new = {
                "add": part + span,
                "replace": part,
                "remove": "",
                "double": span * draw(st.sampled_from([2, 50, 2000])),
            }[kind]
            text = text[:start] + new + text[end:]
        text = text[: 3 * 2**20]
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 30)) == 0:
        content = content[: len(content) // 2] + draw(st.binary(max_size=4)) + content[len(content) // 2 :]
    return Text(language, content)


class Case(NamedTuple):
    """A document or a Text, shown in short."""

    value: Any

    def __repr__(self) -> str:
        if isinstance(self.value, Text):
            return f"{self.value.suffix} {self.value.content[:1000]!r}"
        try:
            return f"{type(self.value).__name__} {Shown().repr(self.value)}"
        except BaseException:  # it may do anything
            return type(self.value).__name__


class Shown(reprlib.Repr):
    """Enough of a document to find it again."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxstring, self.maxother = 12, 12, 4, 80, 80


CASES: st.SearchStrategy[Case] = (mutated() | mutated() | texts() | texts() | WRONG).map(Case)

# -- what becomes of them -----------------------------------------------------------------------------------------------------

FOLDER = tempfile.TemporaryDirectory()
VALIDATOR = jsonschema.Draft202012Validator(metricreg.json_schema())


def checked(case: Any) -> tuple[Any, Any]:
    """The document of a case and the report on it; what is measured."""
    if isinstance(case, Text):
        path = Path(FOLDER.name, f"document{case.suffix}")
        case = metricreg.load(path)
    return case, metricreg.validate(case)


def built(document: Any, report: Any) -> str:
    """Build what is right and small, and back to a spec; what is wrong raises a SpecError."""
    if report:
        said = _refusal(document)
        if said is None:
            assert all("no batch satisfies" in p.message for p in report)
            return "never satisfied"
        assert said.problems == report.problems
        return "wrong"
    if report.unchecked:
        return "unchecked"
    assert VALIDATOR.is_valid(plain(document))
    parsed, _ = parse(document)
    parts: Any = [part for part in (parsed.loss, parsed.miner) if part is not None]
    if sum(t.numel() for part in parts for t in (*part.specimen.parameters(), *part.specimen.buffers())) > MOST_VALUES:
        return "right and large"
    pipeline = metricreg.build(document)
    whole = pipeline.to_spec(defaults=True)
    assert metricreg.build(json.loads(json.dumps(whole))).to_spec(defaults=True) == whole
    assert VALIDATOR.is_valid(whole)
    return "right"


def _refusal(document: Any) -> SpecError | None:
    try:
        parse(document)
    except SpecError as error:
        return error
    return None


def _check_text(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 200_000


def tried(case: Any) -> str:
    """What came of a case; raises what must not happen."""
    if isinstance(case, Text):
        Path(FOLDER.name, f"document{case.suffix}").write_bytes(case.content)
    try:
        document, report = checked(case)
    except SpecError as error:
        if not isinstance(case, Text):
            raise
        _check_text(str(error))
        return "unreadable"
    _check_text(str(report))
    return built(document, report)


# -- many of them -------------------------------------------------------------------------------------------------------------


def _memory(line: str) -> float:
    found = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(line))
    return int(found.split()[1]) / 1024


def measured(case: Any) -> tuple[float, float, str]:
    """Seconds of the processor and MiB that reading and checking took, and what came of the case."""
    if isinstance(case, Text):
        Path(FOLDER.name, f"document{case.suffix}").write_bytes(case.content)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = _memory("VmRSS"), time.process_time()
    with contextlib.suppress(SpecError):
        checked(case)
    seconds = time.process_time() - start
    return seconds, _memory("VmHWM") - before, tried(case)


def arguments() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description="Tries random and mutated documents.")
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first piece")
    parser.add_argument("--piece", type=int, default=1_000, help="examples that are tried with one seed")
    return parser


def main() -> None:
    """Try many, in pieces of which each has a seed of its own."""
    options = arguments().parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    slowest: list[tuple[float, str]] = []
    largest: list[tuple[float, str]] = []

    def examined(case: Case) -> None:
        seconds, mib, outcome = measured(case.value)
        outcomes[outcome] += 1
        text = f"{outcome}: {case!r:.300}"
        for worst, cost in ((slowest, seconds), (largest, mib)):
            heapq.heappush(worst, (cost, text))
            if len(worst) > 5:
                heapq.heappop(worst)

    for piece in range(options.seed, options.seed + -(-options.examples // options.piece)):
        run = settings(
            max_examples=options.piece, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )(given(CASES)(examined))  # fmt: skip
        seed(piece)(run)()
        done = {"seed": piece, **outcomes, "slowest": max(slowest)[0], "largest": max(largest)[0]}
        print(json.dumps(done), file=sys.stderr, flush=True)
    for title, unit, worst in (("slowest", "s", slowest), ("largest", "MiB", largest)):
        print(f"{title}:")
        for cost, text in sorted(worst, reverse=True):
            print(f"  {cost:.3f} {unit} {text}")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
