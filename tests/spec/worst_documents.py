"""The documents that take longest to read and check, each measured in a process of its own.

`python -m tests.spec.worst_documents` prints seconds, MiB and outcome of each; names as arguments choose some.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import metricreg

SECONDS, MIB = 1.0, 100.0
"""What no document takes, accepted or refused."""

KIB = 2**10
VALUES = 99_990


def filled(size: int, part: str, start: str = "", end: str = "") -> str:
    """A text of about so many bytes, with as many copies of a part as there is room for."""
    return start + part * ((size - len(start) - len(end)) // len(part.encode())) + end


def numbered(size: int, part: str, start: str = "", end: str = "", between: str = "") -> str:
    """The same with a number in each copy."""
    count = size // len(part.format(10_000) + between)
    return start + between.join(part.format(i) for i in range(count)) + end


def tree(depth: int, leaf: str) -> Any:
    """Losses in losses, two in each."""
    return leaf if not depth else {"name": "multiple", "losses": [tree(depth - 1, leaf)] * 2}


def of(losses: list[Any], **more: Any) -> Any:
    """A spec of many losses."""
    return {"loss": {"name": "multiple", "losses": losses, **more}}


def reduced(**reducer: Any) -> Any:
    """A spec with a reducer."""
    return {"loss": {"name": "contrastive", "reducer": reducer}}


ARCFACE = {"name": "subcenter_arcface", "num_classes": 1000, "embedding_size": 64}
FULL = {
    "name": "contrastive",
    "distance": "cosine",
    "reducer": {"name": "multiple", "reducers": {"pos_loss": {"name": "threshold", "low": 0.1}, "neg_loss": "mean"}},
    "embedding_regularizer": {"name": "lp", "distance": "cosine", "reducer": "mean"} | {},
}

DOCUMENTS: dict[str, Callable[[], Any]] = {
    "a weight for each of many classes": lambda: reduced(name="class_weighted", weights=[0.5] * VALUES),
    "a wrong weight for each of many classes": lambda: reduced(name="class_weighted", weights=["x"] * VALUES),
    "a wrong factor for each of many losses": lambda: of(["contrastive"], weights=["x"] * VALUES),
    "counts of many classes": lambda: {
        "loss": {"name": "dynamic_arcface", "class_counts": [5] * VALUES, "embedding_size": 512}
    },
    "counts of many classes, tried": lambda: {
        "loss": {"name": "dynamic_arcface", "class_counts": [5] * VALUES, "embedding_size": 2, "sub_centers": 1}
    },
    "losses, as many as are allowed": lambda: of(["contrastive"] * 999),
    "losses with parameters": lambda: of([ARCFACE] * 999),
    "losses with all slots": lambda: of([FULL] * 110),
    "losses that are tried": lambda: of(["contrastive"] * 60),
    "losses in losses": lambda: {"loss": tree(8, "contrastive")},
    "wrong losses in losses": lambda: {"loss": tree(12, "contrastve")},
    "more losses than are allowed": lambda: of(["contrastive"] * VALUES),
    "numbers for losses": lambda: of([3] * VALUES),
    "unknown losses": lambda: of([f"x{i % 1000}" for i in range(VALUES)]),
    "unknown plugins": lambda: of([f"acme{i}/x" for i in range(999)]) | {"requires": {f"d{i}": "" for i in range(100)}},
    "objects for losses": lambda: of([{}] * VALUES),
    "many losses with many wrong values": lambda: of(
        [{"name": "multiple", "losses": ["contrastive"], "weights": ["x"] * 900}] * 100
    ),
    "unknown parameters": lambda: {"loss": {"name": "contrastive"} | {f"{i}": 1 for i in range(9_999)}},
    "unknown fields": lambda: {"loss": "contrastive"} | {f"{i}": 1 for i in range(9_999)},
    "unknown keys of a number": lambda: {"loss": {"name": "ntxent", "temperature": {f"{i}": 1 for i in range(10_000)}}},
    "unknown terms": lambda: reduced(name="multiple", reducers={f"{i}": "mean" for i in range(9_999)}),
    "unknown terms, many": lambda: of(
        [{"name": "contrastive", "reducer": {"name": "multiple", "reducers": {f"{i}": "mean" for i in range(99)}}}] * 10
    ),
    "long names": lambda: of([f"{'a' * 9_990}{i}" for i in range(100)]),
    "long keys": lambda: {"loss": {"name": "contrastive"} | {f"{'a' * 9_990}{i}": 1 for i in range(100)}},
    "long texts": lambda: {"loss": {"name": "contrastive", "neg_margin": ["é" * 10_000] * 100}},
    "short lists": lambda: {"loss": [[[[[[[[]]]]]]]] * 12_000},
    "long lists": lambda: {"loss": {"name": "contrastive", "neg_margin": [[0] * 990] * 100}},
    "a list of the same list": lambda: {"loss": [[[0] * 300] * 300] * 300},
    "requirements, as many as are allowed": lambda: {
        "loss": "acme/x",
        "requires": {f"{'a' * 90}{i}": ",".join([">1"] * 66) for i in range(100)},
    },
    "requirements that are met": lambda: {"loss": "contrastive", "requires": {"torch": ",".join([">1"] * 66)}},
    "requirements of a million clauses": lambda: {"loss": "contrastive", "requires": {"torch": ",".join([">1"] * 10**6)}},
    "a histogram of many bins": lambda: {"loss": {"name": "histogram", "n_bins": 10**9}},
    "a histogram of bins that are tried": lambda: {"loss": {"name": "histogram", "n_bins": 2_000}},
    "many classes": lambda: {"loss": {"name": "arcface", "num_classes": 10**9, "embedding_size": 512}},
    "classes of one number": lambda: {"loss": {"name": "arcface", "num_classes": 2**21, "embedding_size": 1}},
    "classes that are tried": lambda: {
        "loss": {
            "name": "proxy_nca", "num_classes": 1_024, "embedding_size": 2_048, "weight_regularizer": "regular_face",
            "distance": {"name": "mahalanobis", "embedding_size": 3},
        }
    },
    "a large matrix": lambda: {"loss": "contrastive"} | {
        "loss": {"name": "contrastive", "distance": {"name": "mahalanobis", "embedding_size": 1_440}},
    },
    "a manifold of many proxies": lambda: {"loss": {"name": "manifold", "l": 2_000, "K": 2_000}},
    "a miner of many bins": lambda: {
        "loss": "contrastive",
        "miner": {"name": "uniform_histogram", "num_bins": 2_048, "pos_per_bin": 2_048, "neg_per_bin": 2_048},
    },
    "rows that no batch has": lambda: {
        "loss": {"name": "contrastive", "embedding_regularizer": {"name": "sparse_centers", "num_classes": 127, "centers_per_class": 1}},
    },
    "all kinds of rows": lambda: {
        "loss": {
            "name": "triplet_margin", "reducer": "divisor",
            "embedding_regularizer": {"name": "sparse_centers", "num_classes": 11, "centers_per_class": 11},
        },
        "miner": "angular",
    },
}  # fmt: skip

TEXTS: dict[str, tuple[str, Callable[[], str]]] = {
    "JSON: blanks": (".json", lambda: " " * (2 * KIB * KIB + 1)),
    "JSON: numbers": (".json", lambda: filled(2 * KIB * KIB, "0,", '{"a":[', "0]}")),
    "JSON: lists": (".json", lambda: filled(2 * KIB * KIB, "[],", '{"a":[', "0]}")),
    "JSON: lists in lists": (".json", lambda: filled(2 * KIB * KIB, "[" * 28 + "]" * 28 + ",", '{"a":[', "0]}")),
    "JSON: pairs": (".json", lambda: filled(2 * KIB * KIB, "[[]],", '{"a":[', "0]}")),
    "JSON: objects": (".json", lambda: filled(2 * KIB * KIB, '{"":0},', '{"a":[', "0]}")),
    "JSON: objects in objects": (".json", lambda: filled(2 * KIB * KIB, '{"":' * 28 + "0" + "}" * 28 + ",", '{"a":[', "0]}")),
    "JSON: keys": (".json", lambda: numbered(2 * KIB * KIB, '"{}":0', "{", "}", ",")),
    "JSON: texts": (".json", lambda: filled(2 * KIB * KIB, '"é",', '{"a":[', "0]}")),
    "JSON: escapes": (".json", lambda: filled(2 * KIB * KIB, "\\u00e9", '{"a":"', '"}')),
    "JSON: digits": (".json", lambda: filled(2 * KIB * KIB, "9", '{"a":', "}")),
    "JSON: decimals": (".json", lambda: filled(2 * KIB * KIB, "9" * 399 + ".", '{"a":', "}")),
    "JSON: long numbers": (".json", lambda: filled(2 * KIB * KIB, "9" * 399 + ",", '{"a":[', "0]}")),
    "JSON: depth": (".json", lambda: filled(2 * KIB * KIB, "[")),
    "JSON: a spec": (".json", lambda: json.dumps(reduced(name="class_weighted", weights=[0.5] * VALUES))),
    "TOML: dots": (".toml", lambda: filled(32 * KIB, "a.", "", "a=1")),
    "TOML: keys with dots": (".toml", lambda: numbered(32 * KIB, "k{}." + "a." * 29 + "b=1\n")),
    "TOML: quoted keys with dots": (".toml", lambda: numbered(32 * KIB, "k{}." + '"". ' * 29 + "b=1\n")),
    "TOML: tables": (".toml", lambda: numbered(32 * KIB, "[k{}." + "a." * 29 + "b]\n")),
    "TOML: arrays of tables": (".toml", lambda: numbered(32 * KIB, "[[k{}." + "a." * 29 + "b]]\n")),
    "TOML: one array of tables": (".toml", lambda: filled(32 * KIB, "[[a]]\nb.c=1\n")),
    "TOML: short tables": (".toml", lambda: numbered(32 * KIB, "[{}]\n")),
    "TOML: inline tables": (".toml", lambda: filled(32 * KIB, "{a.a.a.a=1},", "a=[", "]")),
    "TOML: lists": (".toml", lambda: filled(32 * KIB, "[],", "a=[", "]")),
    "TOML: digits": (".toml", lambda: filled(32 * KIB, "9", "a=")),
    "TOML: comments": (".toml", lambda: filled(32 * KIB, "#\n")),
    "TOML: a text": (".toml", lambda: filled(32 * KIB, '"" \\\n', 'a="""', '"""')),
    "YAML: words": (".yaml", lambda: filled(32 * KIB, "a ", "a: ")),
    "YAML: numbers": (".yaml", lambda: filled(32 * KIB, ".1,", "a: [", "]")),
    "YAML: nulls": (".yaml", lambda: filled(32 * KIB, "~,", "a: [", "]")),
    "YAML: lists": (".yaml", lambda: filled(32 * KIB, "[],", "a: [", "]")),
    "YAML: lists in lists": (".yaml", lambda: filled(32 * KIB, "[" * 28 + "]" * 28 + ",", "a: [", "]")),
    "YAML: dashes": (".yaml", lambda: filled(32 * KIB, "- " * 28 + "x\n")),
    "YAML: dashes alone": (".yaml", lambda: filled(32 * KIB, "-\n")),
    "YAML: objects": (".yaml", lambda: filled(32 * KIB, "a:,", "a: [", "]")),
    "YAML: keys": (".yaml", lambda: numbered(32 * KIB, "k{}:\n")),
    "YAML: keys of keys": (".yaml", lambda: filled(32 * KIB, "? " * 14 + "a\n")),
    "YAML: keys that are lists": (".yaml", lambda: filled(32 * KIB, "? - " * 8 + "x\n")),
    "YAML: aliases": (".yaml", lambda: filled(32 * KIB, "- *a\n", "- &a " + "x" * 9_000 + "\n")),
    "YAML: aliases of aliases": (".yaml", lambda: aliases("[{}]")),
    "YAML: sets of aliases": (".yaml", lambda: aliases("!!set {{? [{}] }}")),
    "YAML: merged sets": (".yaml", lambda: aliases("!!set {{<<: [{}]}}")),
    "YAML: merged objects": (".yaml", lambda: aliases("{{<<: [{}]}}")),
    "YAML: ordered maps": (".yaml", lambda: filled(32 * KIB, "{a: b},", "a: !!omap [", "]")),
    "YAML: anchors": (".yaml", lambda: numbered(32 * KIB, "- &k{}\n")),
    "YAML: tags": (".yaml", lambda: filled(32 * KIB, "- !!int 1\n")),
    "YAML: local tags": (".yaml", lambda: filled(32 * KIB, "- ! 1\n")),
    "YAML: prefixes": (".yaml", lambda: "%TAG !a! " + "b" * 16 * KIB + "\n---\n" + "- !a!c d\n" * 1000),
    "YAML: directives": (".yaml", lambda: filled(32 * KIB, "%A\n")),
    "YAML: comments": (".yaml", lambda: filled(32 * KIB, "#\n")),
    "YAML: a long number": (".yaml", lambda: filled(32 * KIB, ":59", "a: 1")),
    "YAML: a long number in quotes": (".yaml", lambda: filled(32 * KIB, ":59\\\n", 'a: !!float "1', '"')),
    "YAML: dates": (".yaml", lambda: filled(32 * KIB, "2020-01-01,", "a: [", "]")),
    "YAML: bytes": (".yaml", lambda: filled(32 * KIB, "A", "a: !!binary '", "'")),
    "YAML: depth": (".yaml", lambda: filled(32 * KIB, "[")),
    "YAML: a block": (".yaml", lambda: filled(32 * KIB, " a\n", "a: |\n")),
    "YAML: escapes": (".yaml", lambda: filled(32 * KIB, "\\n", 'a: "', '"')),
    "YAML: documents": (".yaml", lambda: filled(32 * KIB, "---\n")),
}  # fmt: skip


def aliases(holder: str) -> str:
    """Each of many lines holds ten aliases of the line before."""
    lines = ["a0: &a0 " + holder.format("")]
    lines += [f"a{i}: &a{i} " + holder.format(", ".join([f"*a{i - 1}"] * 10)) for i in range(1, 300)]
    return "\n".join(lines)


def measured(name: str, folder: Path) -> tuple[float, float, str]:
    """Seconds of the processor, MiB above what the process had before, and what came of a case, in a fork."""
    if name in DOCUMENTS:
        document = DOCUMENTS[name]()
        run: Callable[[], Any] = lambda: metricreg.validate(document)  # noqa: E731 - either of two
    else:
        suffix, text = TEXTS[name]
        path = folder / f"document{suffix}"
        path.write_text(text(), encoding="utf-8")
        run = lambda: metricreg.validate(metricreg.load(path))  # noqa: E731
    end, start = os.pipe()
    child = os.fork()
    if child == 0:
        before, begun = _peak(), time.process_time()
        try:
            said = str(run())
        except metricreg.MetricregError as error:
            said = str(error)
        except BaseException as error:
            said = f"RAISED {type(error).__name__}: {error}"
        found = (time.process_time() - begun, _peak() - before, said.partition("\n")[0][:200])
        os.write(start, json.dumps(found).encode())
        os._exit(0)
    os.close(start)
    os.waitpid(child, 0)
    with os.fdopen(end) as pipe:
        return tuple(json.loads(pipe.read() or '[0.0, 0.0, "RAISED nothing, and ended"]'))


def _peak() -> float:
    """The most memory that this process had, in MiB; a fork starts with what it has."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(names: list[str]) -> Iterator[tuple[str, float, float, str]]:
    """Every case in turn."""
    metricreg.validate({"loss": "contrastive", "miner": "angular", "requires": {"torch": ">=1"}})
    for reader in (".json", ".toml", ".yaml"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"x{reader}")
            path.write_text('{"loss": "ntxent"}' if reader != ".toml" else "loss = 'ntxent'")
            with contextlib.suppress(metricreg.SpecError):  # Python 3.10 may have no reader of TOML
                metricreg.load(path)
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [*DOCUMENTS, *TEXTS]:
            yield name, *measured(name, Path(folder))


def arguments() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description="Measures the documents that take longest.")
    parser.add_argument("names", nargs="*", help="those that are measured; all if none is named")
    return parser


if __name__ == "__main__":
    for case, seconds, mib, outcome in main(arguments().parse_args().names):
        print(json.dumps([case, round(seconds, 3), round(mib, 1), outcome]), flush=True)
