"""The page "Coming from pytorch-metric-learning": complete, and true."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest

from metricreg.components.signature import parameters_of
from metricreg.registry import default_registry
from tests.checks import shipped
from tests.documentation import ROOT

PAGE = (ROOT / "docs" / "from-pytorch-metric-learning.md").read_text(encoding="utf-8")
KINDS = {
    "losses": "loss",
    "miners": "miner",
    "distances": "distance",
    "reducers": "reducer",
    "regularizers": "regularizer",
}
ROW = re.compile(r"^\| `(\w+)\.(\w+)`( \(3\))? \| (?:`(\w+)`|–) \| ?(.*?) ?\|$", re.MULTILINE)
ROWS = [match.groups() for match in ROW.finditer(PAGE) if match[1] in KINDS]
"""Module, class, whether it is of version 3, our name, and what is said of the arguments."""

ARGUMENTS = re.compile(r"`(\w+)` → (?:`(\w+)`|not here)")
OF_EVERY = {"collect_stats": None, "weight_init_func": "weight_init", "mat_based_loss": None}
"""Arguments that the page has in its second table, or that PML's classes give themselves."""


def missing(said: str) -> bool:
    return "not there yet" in said


def registered(kind: str, name: str) -> bool:
    return name in default_registry().names(kind)


def test_every_row_is_read() -> None:
    assert len(ROWS) == sum(line.startswith(tuple(f"| `{module}." for module in KINDS)) for line in PAGE.splitlines())
    assert len({row[:2] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("module", KINDS)
def test_every_class_of_pml_has_a_row(module: str) -> None:
    there = importlib.import_module(f"pytorch_metric_learning.{module}")
    public = {name for name, member in vars(there).items() if inspect.isclass(member)}
    assert {row[1] for row in ROWS if row[0] == module and not row[2]} == public


def test_every_name_is_registered_and_what_is_not_there_yet_is_not() -> None:
    named = [(KINDS[module], name, missing(said)) for module, _, _, name, said in ROWS if name]
    assert not [row for row in named if registered(*row[:2]) == row[2]], "registered and called missing, or the reverse"


def test_every_component_that_the_page_leaves_out_goes_beyond_pml() -> None:
    beyond = {
        "loss": {"adaface", "barlow_twins", "curricularface", "recall_at_k", "siglip"},
        "miner": set(),
        "distance": {"mahalanobis"},
        "reducer": set(),
        "regularizer": {"l1", "l1_l2", "l2", "orthogonal"},
    }
    for kind, names in beyond.items():
        rows = {name for module, _, _, name, _ in ROWS if KINDS[module] == kind}
        assert set(shipped(kind)) - rows == names


def arguments_of(cls: Any) -> set[str]:
    """Every keyword of a PML class, those that it passes on too."""
    found: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("pytorch_metric_learning"):
            parameters = inspect.signature(base.__init__).parameters.values()
            found |= {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
    return found - {"self"}


@pytest.mark.parametrize("row", [row for row in ROWS if row[3] and not missing(row[4])], ids=lambda row: row[1])
def test_every_argument_has_a_name_here(row: tuple[str, str, str, str, str]) -> None:
    module, name, newer, ours, said = row
    parameters = parameters_of(default_registry().get(KINDS[module], ours))
    renamed: dict[str, str | None] = {there: here or None for there, here in ARGUMENTS.findall(said)}
    assert {here for here in renamed.values() if here} <= parameters.keys()
    if newer:
        return
    there = getattr(importlib.import_module(f"pytorch_metric_learning.{module}"), name)
    arguments = arguments_of(there)
    assert renamed.keys() <= arguments, "renamed arguments that PML does not have"
    for argument in arguments:
        here = (OF_EVERY | renamed).get(argument, argument)
        assert here is None or here in parameters, f"{argument} is called {here} here, which {ours} does not take"


def test_every_module_around_the_objective_is_on_the_page() -> None:
    for module in ("samplers", "trainers", "testers"):
        found = importlib.import_module(f"pytorch_metric_learning.{module}")
        classes = [name for name, member in vars(found).items() if inspect.isclass(member)]
        assert not [name for name in classes if f"{module}.{name}" not in PAGE]


def test_the_matches_that_the_page_names_exist() -> None:
    (row,) = re.findall(r"^\| label sets .*", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(shipped("match")) - {"same_label"}


def test_the_python_names_that_the_page_gives_exist() -> None:
    for path in set(re.findall(r"`(metricreg(?:\.\w+)+)`", PAGE)):
        module, _, name = path.rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.import_module(path), path
