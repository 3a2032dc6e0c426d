"""The checks as tests: `parametrize_with_checks`, and the option `--metricreg-plugin`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from metricreg.testing import Check, Example, checks_of, parametrize_with_checks
from tests.testing.broken_losses import HidesNaN, Sound
from tests.testing.broken_others import Mean, MeanOfNumbers

ROOT = Path(__file__).parents[2]


@parametrize_with_checks([Mean, (Sound, {"scale": 2.0}), Mean()])
def test_sound_components(component: Example, check: Check) -> None:
    check(component)


@parametrize_with_checks([HidesNaN, MeanOfNumbers], expected_failures={"shows_nan": "it hides NaN on purpose"})
def test_components_of_which_a_failure_is_expected(component: Example, check: Check) -> None:
    check(component)


def test_a_test_is_named_by_component_and_check() -> None:
    made: Any = parametrize_with_checks([Mean, (Sound, {"scale": 2.0})])
    names = [each.id for each in made.args[1]]
    assert names[0] == "Mean-can_be_registered"
    assert names[-1] == "Sound(scale=2.0)-is_one_graph"
    assert len(names) == len(checks_of("reducer")) + len(checks_of("loss"))


def test_an_expected_failure_of_no_check_is_refused() -> None:
    with pytest.raises(ValueError, match="names no check: 'shows_nans'; did you mean 'shows_nan'"):
        parametrize_with_checks([Mean], expected_failures={"shows_nans": "a slip"})


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (Mean, r"give a list of components, such as \[Mean\]"),
        (Mean(), "give a list of components"),
        ([(Mean,)], "is no component: give \\(class, parameters\\)"),
        ([(Mean, 0.3)], "is no component: give \\(class, parameters\\)"),
        (["mean"], "'mean' is no component: give a class derived from"),
    ],
)
def test_what_is_no_list_of_components_is_refused(components: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        parametrize_with_checks(components)


def test_expected_failures_may_depend_on_the_component() -> None:
    found: Any = parametrize_with_checks(
        [Mean, Sound], expected_failures=lambda c: {"adds_up": "x"} if c.cls is Mean else {}
    )
    assert [each.id for each in found.args[1] if each.marks] == ["Mean-adds_up"]


PLUGIN = """
import torch
import metricreg

class Sum(metricreg.Reducer):
    "The sum of all values."
    def __init__(self) -> None:
        super().__init__()
    def statistics(self, term):
        return (term.sum(),)
    def finalize(self, *statistics):
        if len(statistics) > 1 or not statistics[0].isfinite():
            raise ArithmeticError("no number")
        return statistics[0]

@metricreg.hookimpl
def metricreg_reducers():
    return {"sum": Sum, "gone": "acme_kit_gone:Gone"}
"""
TESTS = """
from metricreg.testing import parametrize_with_checks
from acme_kit import Sum

@parametrize_with_checks([Sum], expected_failures={"adds_up": "they do not"})
def test_sum(component, check):
    check(component)
"""


def run(folder: Path, *options: str) -> str:
    """What pytest says in a process of its own, in which a plugin `acme` is installed."""
    info = folder / "site" / "acme_kit-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kit\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[metricreg]\nacme = acme_kit\n", encoding="utf-8")
    (folder / "site" / "acme_kit.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_sum.py").write_text(TESTS, encoding="utf-8")
    installed = any(point.name == "metricreg" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "metricreg.testing.pytest_plugin"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *plugin, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    return done.stdout + done.stderr


def test_the_option_checks_a_plugin_with_no_test_written(tmp_path: Path) -> None:
    expected = "reducer acme/sum bears_few_rows: it wants rows\n reducer acme/sum shows_nan: it wants numbers"
    found = run(tmp_path, "--metricreg-plugin", "acme", "-v", "-o", f"metricreg_expected_failures={expected}")
    number = len(checks_of("reducer"))
    assert found.count("\nmetricreg:acme::reducer acme/sum::") == found.count("\ntests/test_sum.py::") == number, found
    assert "metricreg:acme::reducer acme/sum::adds_up PASSED" in found
    assert "test_sum[Sum-adds_up] FAILED" in found
    assert "[XPASS(strict)] they do not" in found
    assert "metricreg:acme::reducer acme/sum::shows_nan XFAIL (it wants numbers)" in found
    assert "[XPASS(strict)] it wants rows" in found
    assert "reducer 'acme/gone' of acme-kit cannot be imported from acme_kit_gone:Gone" in found
    assert "Found: it raised ArithmeticError: no number" in found  # of the test that expects no such failure
    assert "metricreg/testing/check.py" not in found.partition("acme/gone::can_be_registered __")[2].partition("___")[0]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "--metricreg-plugin",
            "acne",
            "no plugin of this namespace has components; those that are active: metricreg, acme",
        ),
        ("--metricreg-plugin", "acme-kit", "this is a distribution; the namespace of its plugin is 'acme'"),
        ("-o", "metricreg_expected_failures=reducer acme/sum adds: no", "a line is `KIND NAME CHECK: reason`"),
        ("-o", "metricreg_expected_failures=loss acme/sum shows_nan: no", "and no loss is called 'acme/sum'"),
    ],
)
def test_what_is_not_there_is_an_error_of_usage(tmp_path: Path, option: str, value: str, message: str) -> None:
    found = run(tmp_path, option, value, *(["--metricreg-plugin", "acme"] if option == "-o" else []))
    assert "\nERROR: " in f"\n{found}"
    assert message in found


def test_without_the_option_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, metricreg.testing.pytest_plugin\nprint(sorted({'torch', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
