"""Documents: what is plain data, and reading files, hostile ones included."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metricreg
from metricreg import SpecError, load
from metricreg.components.validation_errors import shown
from metricreg.spec.document import MAX_CHARACTERS, MAX_DEPTH, MAX_KEYS, MAX_NODES, MAX_TEXT, plain

try:
    import tomllib  # noqa: F401

    TOML = True
except ImportError:
    TOML = False

needs_toml = pytest.mark.skipif(not TOML, reason="tomllib is in the library from Python 3.11 on")


def refused(document: Any) -> list[tuple[str, str]]:
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        plain(document)
    assert time.process_time() - start < 10.0
    assert len(caught.value.problems) <= 100
    assert all(len(p.message) < 200 and len(p.given or "") <= 100 for p in caught.value.problems)
    return [(p.pointer, p.message) for p in caught.value.problems]


def nested(levels: int) -> Any:
    document: Any = []
    for _ in range(levels - 1):
        document = [document]
    return document


# -- plain data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 3, -1.5, "é", "", [], {}, {"": [{"a": [None]}]}, 2**1000])
def test_json_values_come_back_equal_and_copied(value: Any) -> None:
    result = plain(value)
    assert result == value
    assert type(result) is type(value)
    if isinstance(value, list | dict):
        assert result is not value


def test_tuples_become_lists_and_numpy_scalars_numbers() -> None:
    result = plain({"a": (1, (2,)), "b": np.float32(0.5), "c": np.int64(3), "d": np.bool_(True), "e": np.str_("x")})
    assert result == {"a": [1, [2]], "b": 0.5, "c": 3, "d": True, "e": "x"}
    assert [type(v) for v in result.values()] == [list, float, int, bool, str]


def test_other_mappings_that_are_dicts_become_dicts() -> None:
    result = plain(collections.OrderedDict(a=collections.defaultdict(list, b=[1])))
    assert result == {"a": {"b": [1]}}
    assert type(result) is dict
    assert type(result["a"]) is dict


def test_the_copy_shares_nothing_with_the_document() -> None:
    inner = [1]
    result = plain({"a": inner, "b": inner})
    inner.append(2)
    result["a"].append(3)
    assert result == {"a": [1, 3], "b": [1]}


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        {1, 2}, b"bytes", bytearray(b"x"), object(), len, 1j, decimal.Decimal(1), datetime.date(2020, 1, 1), iter([]), range(3),
        np.zeros(2), np.datetime64("2020"), torch.tensor(1.0), torch.nn.Identity(), Text("x"), Number.ONE, collections.UserDict(),
        np.longdouble(1), type, ...,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_types_that_json_does_not_have_are_refused_where_they_stand(value: Any) -> None:
    ((where, message),) = refused({"a": [0, value]})
    assert where == "/a/1"
    assert "is no JSON type" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), np.float64("inf")])
def test_numbers_are_finite(value: Any) -> None:
    assert refused({"a": value}) == [("/a", "numbers are finite")]


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_are_no_larger_than_floats(sign: int) -> None:
    assert refused([sign * 10**5000]) == [("/0", "numbers are at most as large as a float")]
    largest = int(sys.float_info.max)
    assert plain(sign * largest) == sign * largest
    assert refused([sign * (largest + 1)]) == [("/0", "numbers are at most as large as a float")]
    assert metricreg.create("loss", "contrastive", pos_margin=sign * largest).pos_margin == float(sign * largest)


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"a", (1,), Text("x"), "\ud800"])
def test_keys_are_text(key: Any) -> None:
    ((where, message),) = refused({"a": {key: 1, "fine": 2}})
    assert where == "/a"
    assert "the keys of an object are text" in message


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert refused({"a": "\udc00"}) == [("/a", "half of a surrogate pair is no text")]


def test_all_wrong_values_are_listed_in_order() -> None:
    assert [where for where, _ in refused({"b": {1}, "a": [float("nan"), {"c": b""}]})] == ["/b", "/a/0", "/a/1/c"]
    assert len(refused([{1}] * 500)) == 100


def test_32_levels_are_enough_and_33_too_many() -> None:
    assert plain(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    ((where, message),) = refused(nested(MAX_DEPTH + 1))
    assert where == "/0" * MAX_DEPTH
    assert message == "more than 32 nested objects and lists"
    assert refused(nested(100_000))
    mixed: Any = nested(1)
    for _ in range(MAX_DEPTH):
        mixed = {"a": mixed}
    assert refused(mixed)[0][0] == "/a" * MAX_DEPTH


def test_100_000_values_are_enough_and_one_more_too_many() -> None:
    assert len(plain([0] * (MAX_NODES - 1))) == MAX_NODES - 1
    for document in ([0] * MAX_NODES, {str(i): 0 for i in range(MAX_NODES)}, [[0] * 1000] * 100, [0] * 10**7):
        assert refused(document) == [("", "the document has more than 100,000 values")]


def test_shared_containers_are_counted_as_often_as_they_stand() -> None:
    bomb: Any = [1] * 10
    for _ in range(20):
        bomb = [bomb] * 10
    assert refused({"a": bomb}) == [("", "the document has more than 100,000 values")]
    wide: Any = [1] * 99_000
    for _ in range(30):
        wide = [wide] * 99_000
    assert refused(wide) == [("", "the document has more than 100,000 values")]
    doubled: Any = {}
    for _ in range(16):
        doubled = {"a": doubled, "b": doubled}
    assert refused(doubled) == [("", "the document has more than 100,000 values")]


def test_an_object_has_10_000_keys_and_a_text_10_000_characters() -> None:
    assert len(plain({str(i): 0 for i in range(MAX_KEYS)})) == MAX_KEYS
    said = "an object has at most 10,000 keys; this one has 10,001"
    assert refused({"a": {str(i): 0 for i in range(MAX_KEYS + 1)}}) == [("/a", said)]
    long = "é" * MAX_TEXT
    assert plain({long: long}) == {long: long}
    said = "a text has at most 10,000 characters; this one has 10,001"
    assert refused({"a": long + "b"}) == [("/a", said)]
    assert refused({"a": {long + "b": 1}}) == [("/a", f"the keys of an object are text; got {shown(long)}: {said}")]


def test_a_million_characters_are_enough_and_one_more_too_many() -> None:
    whole, rest = divmod(MAX_CHARACTERS, MAX_TEXT)
    document = ["x" * MAX_TEXT] * whole + ["x" * rest]
    assert plain(document) == document
    said = [("", "the strings and keys of the document have more than 1,048,576 characters")]
    assert refused([*document, "x"]) == said
    assert refused({"a": document, "b": 0}) == said


def test_a_container_inside_itself_is_refused_where_it_closes() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert refused({"a": loop}) == [("/a/1", "a container that contains itself is no JSON")]
    table: dict[str, Any] = {}
    table["x"] = {"y": [table]}
    assert [where for where, _ in refused(table)] == ["/x/y/0"]


# -- objects that do something ----------------------------------------------------------------------------------------


def _hostile(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise SystemExit("a document is looked at, and not run")


RUN_BY_READING = (
    "__iter__", "__len__", "__getitem__", "__contains__", "__eq__", "__hash__", "__bool__", "__repr__", "__str__", "__format__",
    "__reversed__", "__getattribute__", "__reduce_ex__", "__sizeof__", "__index__", "__int__", "__float__",
    "items", "keys", "values", "get", "item", "encode", "append", "copy",
)  # fmt: skip


class HostileMeta(type):
    __name__ = property(_hostile)  # type: ignore[assignment]
    __instancecheck__ = __subclasscheck__ = __repr__ = __getattribute__ = _hostile  # type: ignore[assignment]


def hostile(base: type, *args: Any) -> Any:
    """An object of a class derived from a base, of which each method that Python calls on its own raises."""
    methods = dict.fromkeys(RUN_BY_READING, _hostile) | {"__class__": property(_hostile)}
    made = HostileMeta("Hostile", (base,), methods)
    return base.__new__(made, *args)


def test_containers_of_classes_that_raise_are_copied_by_what_they_hold() -> None:
    table, row, pair = hostile(dict), hostile(list), hostile(tuple, (1, "x"))
    dict.__setitem__(table, "a", 1)
    list.append(row, pair)
    assert plain({"t": table, "r": row}) == {"t": {"a": 1}, "r": [[1, "x"]]}


def test_other_objects_that_raise_are_named_and_not_asked() -> None:
    for base, args in ((object, ()), (str, ("x",)), (int, (1,)), (float, (1.0,)), (set, ()), (bytes, (b"x",))):
        assert refused({"a": hostile(base, *args)}) == [
            ("/a", "Hostile is no JSON type; a spec is made of objects, lists, strings, numbers, true, false and null")
        ]
    key = type("Key", (), {"__repr__": _hostile})()
    assert refused({key: 1}) == [("", "the keys of an object are text; got Key: a key is a string")]


def test_numbers_of_numpy_whose_class_raises_are_what_numpy_says() -> None:
    class Loud(np.float64):
        item = __float__ = __repr__ = _hostile  # type: ignore[assignment]

    assert plain([Loud(0.5)]) == [0.5]


def test_a_set_of_a_million_is_not_shown() -> None:
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        plain({"a": set(range(10**6)), "b": b"x" * 10**8})
    assert time.process_time() - start < 1.0
    assert [p.given for p in caught.value.problems] == [None, None]


def test_what_lies_about_its_length_is_counted() -> None:
    class Short(list):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 0

    class Endless(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            return iter(lambda: 0, 1)

    assert refused(Short([0] * MAX_NODES)) == [("", "the document has more than 100,000 values")]
    assert plain(Endless([1, 2])) == [1, 2]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


EXAMPLE = {"loss": {"name": "contrastive", "neg_margin": 0.5, "distance": {"name": "lp", "p": 1}}, "version": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", '{"loss": {"name": "contrastive", "neg_margin": 0.5, "distance": {"name": "lp", "p": 1}}, "version": 1}'),
        ("X.JSON", '\ufeff{"version": 1, "loss": {"distance": {"p": 1, "name": "lp"}, "name": "contrastive", "neg_margin": 5e-1}}'),
        pytest.param("x.toml", 'version = 1\n[loss]\nname = "contrastive"\nneg_margin = 0.5\ndistance = {name = "lp", p = 1}\n', marks=needs_toml),
        ("x.yaml", "version: 1\nloss: {name: contrastive, neg_margin: 0.5, distance: {name: lp, p: 1}}\n"),
        ("x.yml", "loss:\n  name: contrastive\n  neg_margin: 0.5\n  distance: &d\n    name: lp\n    p: 1\nversion: 1\n"),
    ],
)  # fmt: skip
def test_json_toml_and_yaml_say_the_same(name: str, content: str, write: Callable[..., Path]) -> None:
    path = write(name, content)
    assert load(path) == load(str(path)) == EXAMPLE


HOSTILE: list[Any] = [
    ("x.json", '{"loss": "a", "loss": "b"}', "the key 'loss' stands twice"),
    ("x.json", '{"a": {"b": {"c": 1, "c": 1}}}', "the key 'c' stands twice"),
    ("x.json", '{"loss": NaN}', "NaN is no JSON number"),
    ("x.json", '{"loss": [-Infinity]}', "-Infinity is no JSON number"),
    ("x.json", '{"loss": 1e999}', "numbers are finite"),
    ("x.json", '{"loss": ' + "9" * 5000 + "}", "more than 400 digits in a row"),
    ("x.json", '{"loss": ' + "9" * 400 + "}", "at most as large as a float"),
    ("x.json", "[" * 100_000, "more than 32 nested"),
    ("x.json", '{"a":' * 100_000, "more than 32 nested"),
    ("x.json", "[" * 40 + "]" * 40, "more than 32 nested"),
    ("x.json", "[" + "0," * 100_000 + "0]", "more than 100,000 values"),
    ("x.json", "[" + "0," * 200_000 + "0]", "more than 200,000 commas and opening brackets"),
    ("x.json", b"\xff\xfe{\x00}\x00", "it is not UTF-8 text"),
    ("x.json", b'{"a": "\xe9"}', "it is not UTF-8 text"),
    ("x.json", '{"a": "\\ud800"}', "surrogate"),
    ("x.json", "", "Expecting value"),
    ("x.json", "{'loss': 1}", "line 1 column 2"),
    ("x.json", '{"loss": 1,}', "line 1"),
    ("x.json", "[1, 2]", "expected an object, got [1, 2]"),
    ("x.json", "null", "expected an object, got null"),
    ("x.json", b" " * (2**21 + 1), "a JSON document is no larger than 2 MiB"),
    ("x.yaml", "loss: !!python/object/apply:os.system ['exit 1']", "could not determine a constructor"),
    ("x.yaml", "loss: !!python/name:os.system", "could not determine a constructor"),
    ("x.yaml", "a: 1\na: 2", "the key 'a' stands twice"),
    ("x.yaml", "loss: 2020-01-01", "date is no JSON type"),
    ("x.yaml", "loss: 2020-01-01 10:00:00", "datetime is no JSON type"),
    ("x.yaml", "loss: !!binary aGVsbG8=", "bytes is no JSON type"),
    ("x.yaml", "loss: !!set {a, b}", "set is no JSON type"),
    ("x.yaml", "loss: .nan", "numbers are finite"),
    ("x.yaml", "loss: -.inf", "numbers are finite"),
    ("x.yaml", "1: a", "the keys of an object are strings; got 1"),
    ("x.yaml", "on: a", "the keys of an object are strings; got True"),
    ("x.yaml", "? [a, b]\n: c", "the keys of an object are strings"),
    ("x.yaml", "loss: &a [*a]", "recursive"),
    ("x.yaml", "loss: &a {b: *a}", "recursive"),
    ("x.yaml", "loss: *nowhere", "undefined alias"),
    ("x.yaml", "loss: {a: 1", "expected"),
    ("x.yaml", "--- a\n--- b", "single document"),
    ("x.yaml", "- a", "expected an object"),
    ("x.yaml", "", "expected an object, got null"),
    ("x.yaml", "loss: " + "[" * 2_000, "more than 32 nested"),
    ("x.yaml", "loss: \x07", "special characters"),
    ("x.yaml", "base: &b {a: 1}\nloss: {<<: *b}", "merge keys (<<) are not supported"),
    ("x.yaml", "loss: " + "9" * 5000, "more than 400 digits in a row"),
    ("x.yaml", "loss: 1" + ":59" * 10_000, "a number has more than 400 digits"),
    ("x.yaml", "loss: 1" + ":59" * 1_000 + ".5", "a number has more than 400 digits"),
    ("x.yaml", "a: !!int x", "invalid literal"),
    ("x.yaml", "a: !!float [1]", "expected a scalar node"),
    pytest.param("x.toml", "a = 1\na = 2", "overwrite", marks=needs_toml),
    pytest.param("x.toml", "a = 2020-01-01", "date is no JSON type", marks=needs_toml),
    pytest.param("x.toml", "a = 10:00:00", "time is no JSON type", marks=needs_toml),
    pytest.param("x.toml", "a = nan", "numbers are finite", marks=needs_toml),
    pytest.param("x.toml", "a = inf", "numbers are finite", marks=needs_toml),
    pytest.param("x.toml", "a = ", "Invalid value", marks=needs_toml),
    pytest.param("x.toml", "a = " + "[" * 30_000, "more than 32 nested|Invalid value", marks=needs_toml),
    ("x.txt", "{}", "unknown file type '.txt'; expected one of .json, .toml, .yaml, .yml"),
    ("x", "{}", "unknown file type ''"),
]


@pytest.mark.parametrize(("name", "content", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_are_refused(name: str, content: Any, says: str, write: Callable[..., Path]) -> None:
    path = write(name, content)
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        load(path)
    assert time.process_time() - start < 10.0
    text = str(caught.value)
    assert str(path) in text
    assert any(part in text for part in says.split("|")), text
    assert len(text) < 1000 + len(str(path))


def test_bombs_of_yaml_anchors_and_merges_stay_small(write: Callable[..., Path]) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    with pytest.raises(SpecError, match="more than 100,000 values"):
        load(write("x.yaml", "\n".join(lines)))
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 20)]
    with pytest.raises(SpecError, match="merge keys"):
        load(write("x.yaml", "\n".join(lines)))


def test_anchors_without_danger_are_plain_data(write: Callable[..., Path]) -> None:
    assert load(write("x.yaml", "a: &a {p: 1}\nb: *a\n")) == {"a": {"p": 1}, "b": {"p": 1}}


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot read .*nowhere\.json: No such file"):
        load(tmp_path / "nowhere.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(SpecError, match=r"Is a directory|Permission denied"):
        load(tmp_path / "folder.json")
    with pytest.raises(SpecError, match="null"):
        load("a\0b.json")


def test_a_missing_reader_says_what_to_install(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(SpecError, match=r"pip install 'metricreg\[yaml\]'"):
        load(write("x.yaml", "a: 1"))
    monkeypatch.setitem(__import__("sys").modules, "tomllib", None)
    monkeypatch.setitem(__import__("sys").modules, "tomli", None)
    with pytest.raises(SpecError, match=r"pip install 'metricreg\[toml\]'"):
        load(write("x.toml", "a = 1"))


# -- files that would take a reader long, or leave it with something else than a refusal ---------------------------------


@pytest.mark.parametrize(
    "text",
    ["a" + ".a" * 15_000 + "=1", "[a" + ".a" * 15_000 + "]", "x = {a" + " . 'a'" * 4_000 + "=1}", 'a."b, c"' + '."b"' * 500 + "=1"],
)  # fmt: skip
def test_a_key_of_many_dots_is_refused_at_once(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dots.toml"
    file.write_text(text)
    start = time.perf_counter()
    with pytest.raises(SpecError, match="a key has more than 32 dots"):
        load(file)
    assert time.perf_counter() - start < 2.0


def test_dots_that_are_no_key_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "fine.toml"
    file.write_text(f"loss = 'ntxent'\nx = [{', '.join(['0.5'] * 2000)}]\n# {'a' * 10_000}\n")
    assert load(file)["loss"] == "ntxent"


@pytest.mark.parametrize(
    "value", ["!!bool maybe", "!!int ''", "!!int '_'", "!!float ''", "!!timestamp foo", "!!map [a, b]", '"\\UFFFFFFFF"']
)
def test_a_value_that_does_not_fit_its_yaml_tag_is_a_refusal(tmp_path: Path, value: str) -> None:
    file = tmp_path / "tag.yaml"
    file.write_text(f"loss: {value}")
    with pytest.raises(SpecError, match="cannot read"):
        load(file)


def test_tag_prefixes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "tags.yaml"
    file.write_text("%TAG !a! " + "b" * 1000 + "\n---\n- !a!c d\n")
    with pytest.raises(SpecError, match="%TAG is not supported"):
        load(file)
