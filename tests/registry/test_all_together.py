"""All distributions under dists at once, each command as a process: it works, and nothing raw reaches a terminal."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.registry.distributions import DISTS

NO_FAULT = ("interrupt",)
"""Left out: a KeyboardInterrupt is the user's."""
BREAKS_OTHERS = ("damaged_entry_points",)
"""Left out where torch is needed: torch and pydantic read all entry points, and fail where one cannot be read."""
HEAVY = ("slow", "imports_torch", "changes_dtype")
CLASSES = ("classes", "abstract", "no_component", "undeclarable", "wrong_kind", "evil_strings")
"""Give classes, and so import torch."""


def command(*words: str, without: tuple[str, ...] = (), none: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the console script with the distributions installed."""
    cases = sorted(case.name for case in DISTS.iterdir() if case.name not in (*NO_FAULT, *without))
    cases.sort(key=lambda case: case != "stale_empty")  # it stands before what it hides
    path = [os.environ.get("PYTHONPATH", ""), *(str(DISTS / case) for case in cases if not none)]
    code = "import sys; from metricreg.cli import run; sys.argv[0] = 'metricreg'; run()"
    known = {"COLUMNS": "300", "TERM": "dumb"}
    environment = {**os.environ, **known, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, env=environment, timeout=300, text=True
    )


def assert_clean(done: subprocess.CompletedProcess[str]) -> None:
    for output in (done.stdout, done.stderr):
        assert all(c.isprintable() or c == "\n" for c in output), ascii(output)
        assert "Traceback" not in output
        assert max(map(len, output.splitlines()), default=0) < 2500


def test_list_works_and_names_each_once() -> None:
    done = command("list", "--json")
    assert_clean(done)
    assert done.returncode == 0
    names = {entry["name"] for entry in json.loads(done.stdout)}
    assert {"mean", "acme/clipped_mean", "lazy/half", "doubled/half", "thread/half", "warns/half"} <= names
    assert done.stderr.count("plugin 'huge_message' of ") == 1


def test_list_takes_little_longer_than_without_them(record_property: Callable[[str, object], None]) -> None:
    def seconds(none: bool) -> float:
        """Of a processor, which other processes take nothing from."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert command("list", without=(*HEAVY, *CLASSES), none=none).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    more = min(seconds(none=False) for _ in range(3)) - min(seconds(none=True) for _ in range(3))
    record_property("seconds_more", more)
    print(f"with all broken plugins `metricreg list` takes {1000 * more:.0f} ms more")
    assert more < 0.5  # measured as 0.1 s; a busy machine takes longer for the same


@cache
def plugins() -> dict[tuple[str, str], dict[str, object]]:
    done = command("plugins", "--json")
    assert_clean(done)
    assert done.returncode == 1
    return {(row["name"], row["distribution"]): row for row in json.loads(done.stdout)}


def test_plugins_says_of_each_distribution_what_it_is() -> None:
    found = plugins()
    told = {distribution for _, distribution in found}
    cases = {case.name for case in DISTS.iterdir()} - {*NO_FAULT, "nameless", "folder_metadata", "stale_empty"}
    renamed = {
        "classes": "acme",
        "strings": "acme-lazy",
        "damaged_metadata": "acme_damaged",
        "markup": "acme-markup[/foo]",
    }
    renamed |= {"damaged_entry_points": "acme_no_points", "evil_strings": r"acme-evil-\x1b[2Jstrings"}
    assert {renamed.get(case, "acme-" + case.replace("_", "-")) for case in cases} <= told


@pytest.mark.without_broken_plugins
def test_doctor_tells_them_apart_with_file_and_line() -> None:
    done = command("doctor", "--json", "--traceback", without=(*HEAVY, *CLASSES))
    assert done.returncode == 1
    for output in (done.stdout, done.stderr):
        assert all(c.isprintable() or c == "\n" for c in output), ascii(output)
    found = {row["distribution"]: row for row in json.loads(done.stdout)["plugins"]}
    assert found["metricreg"]["ok"]
    assert found["acme-lazy"]["ok"]
    assert not any(row["imports_torch"] for row in found.values())
    assert found["acme-too-new"]["mend"] == ["pip install -U 'metricreg>=99'"]
    assert len({row["problems"][0] for row in found.values() if row["problems"]}) == sum(
        not row["ok"] for row in found.values()
    )
    for case, line in {
        "import_key_error": 7,
        "hook_key_error": 8,
        "system_exit": 3,
        "str_raises": 11,
        "none_hook": 6,
        "unmarked_hook": 6,
        "init_raises": None,
        "init_exits": None,
    }.items():
        row = found["acme-" + case.replace("_", "-")]
        where = f"acme_{case}.py:{line})" if line else f"acme_{case}_half.py:"
        assert any(where in problem for problem in row["problems"]), row
        assert Path(row["file"]).name == f"acme_{case}.py"
        assert row["tracebacks"]


@pytest.mark.without_broken_plugins
def test_doctor_knows_which_plugin_imports_torch_and_takes_long() -> None:
    some = {"classes", "imports_torch", "slow", "strings"}
    done = command("doctor", "--json", without=tuple(case.name for case in DISTS.iterdir() if case.name not in some))
    assert done.returncode == 0
    found = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    torch = {name: row["imports_torch"] for name, row in found.items()}
    assert (
        torch.items() >= {"metricreg": False, "acme": True, "imports_torch": True, "lazy": False, "slow": False}.items()
    )
    assert "loading takes 1." in found["slow"]["advice"][0]
    assert "torch is imported whenever names are looked at" in found["imports_torch"]["advice"][0]


@pytest.mark.parametrize("words", ["describe reducer prints_lazily/half --json", "validate spec.json --json", "schema"])
def test_what_is_printed_while_a_component_is_used_is_not_in_the_json(words: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"loss": {"name": "contrastive", "reducer": "prints_lazily/half"}}))
    done = command(*words.replace("spec.json", str(spec)).split(), without=BREAKS_OTHERS)
    assert_clean(done)
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert "hello from a lazy module" in done.stderr


def test_a_program_of_ones_own_builds_beside_them() -> None:
    code = "import metricreg; print(metricreg.build({'loss': 'contrastive'}).to_spec())"
    cases = sorted(case.name for case in DISTS.iterdir() if case.name not in (*NO_FAULT, *BREAKS_OTHERS))
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), *(str(DISTS / case) for case in cases)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, env=environment, timeout=120, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "{'version': 1, 'loss': 'contrastive'}" in done.stdout
    assert "\x1b" not in done.stderr
