"""What components say of themselves."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import metricreg
from metricreg.errors import RegistrationError
from metricreg.registry import KINDS, Registry, default_registry
from metricreg.spec.describe import describe

EVERY = [(kind, name) for kind in KINDS for name in default_registry().names(kind)]


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"


class Many(metricreg.Reducer):
    """Takes one parameter of every sort.

    More about it, over
    two lines.

    Args:
        scale: a factor,
            at least 1.
        mode: soft or hard.
    """

    def __init__(
        self,
        scale: Annotated[float, Field(ge=1)],
        count: Annotated[int, Field(gt=2, le=5)],
        modes: list[Mode],
        inner: metricreg.Reducer,
        by_name: dict[str, float | None],
        mode: Mode = Mode.HARD,
        pair: tuple[int, float] = (1, 2.0),
        values: tuple[float, ...] = (),
        word: Literal["a", "b", 1] = "a",
        names: Annotated[list[str], Field(min_length=1)] | None = None,
        bracket: str = "[bold]",
    ) -> None:
        super().__init__()

    def reduce(self, term: Any) -> Any:
        return term.sum()


class NeedsOne(metricreg.Reducer):
    """Needs one of two."""

    def __init__(self, first: int | None = None, second: int | None = None) -> None:
        super().__init__()
        if second is None:
            raise ValueError("give second")

    def reduce(self, term: Any) -> Any:
        return term.sum()


class Unwilling(metricreg.Reducer):
    """Can never be constructed."""

    def __init__(self, size: int) -> None:
        raise RuntimeError("no")

    def reduce(self, term: Any) -> Any:
        return term.sum()


@pytest.fixture
def registry() -> Registry:
    """Three reducers and nothing else, but for what an example may name."""
    registry = Registry()
    registry.add(metricreg.default_registry().entry("reducer", "mean"))
    for cls in (Many, NeedsOne, Unwilling):
        metricreg.register(cls, registry=registry)
    return registry


def types_of(name: str, registry: Registry) -> dict[str, str]:
    return {p.name: p.type for p in describe("reducer", name, registry).parameters}


@pytest.mark.without_broken_plugins
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_component_says_what_it_does_and_what_each_parameter_means(kind: str, name: str) -> None:
    found = describe(kind, name)
    assert found.text
    assert "Args:" not in found.text
    assert [p.name for p in found.parameters if not p.text] == []


@pytest.mark.without_broken_plugins
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_default_is_json_and_is_what_the_component_uses(kind: str, name: str) -> None:
    found = describe(kind, name)
    given = {"name": found.example} if isinstance(found.example, str) else dict(found.example)
    given.pop("name")
    spec = metricreg.create(kind, name, **given).to_spec(defaults=True)
    for p in found.parameters:
        if p.default == "required":
            assert p.name in given
            continue
        stated = json.loads(p.default)
        if p.name not in given and stated is not None:
            used = spec[p.name]
            if isinstance(used, dict):  # a component, stated as what differs from its own defaults
                stated = {"name": stated} if isinstance(stated, str) else stated
                used = {key: used[key] for key in stated}
            assert used == stated


def test_types_are_written_in_the_words_of_json(registry: Registry) -> None:
    assert types_of("local/many", registry) == {
        "scale": "number >= 1",
        "count": "integer > 2 and <= 5",
        "modes": 'list of ("soft" | "hard")',
        "inner": "reducer",
        "by_name": "object of (number | null)",
        "mode": '"soft" | "hard"',
        "pair": "list of integer, number",
        "values": "list of number",
        "word": '"a" | "b" | 1',
        "names": "list of string of length >= 1 | null",
        "bracket": "string",
    }


def test_defaults_and_texts_come_from_signature_and_docstring(registry: Registry) -> None:
    found = describe("reducer", "local/many", registry)
    parameters = {p.name: p for p in found.parameters}
    assert parameters["scale"].default == "required"
    assert parameters["scale"].text == "a factor, at least 1."
    assert parameters["mode"].default == '"hard"'
    assert parameters["pair"].default == "[1, 2.0]"
    assert parameters["names"].default == "null"
    assert parameters["word"].text == ""
    assert found.text == "Takes one parameter of every sort.\n\nMore about it, over\ntwo lines."


def test_an_example_keeps_to_the_bounds_of_required_parameters(registry: Registry) -> None:
    assert describe("reducer", "local/many", registry).example == {
        "name": "local/many",
        "scale": 2.0,
        "count": 3,
        "modes": ["soft"],
        "inner": "mean",
        "by_name": {"pos_loss": 0.5},
    }


def test_an_example_gives_an_optional_parameter_that_a_rule_asks_for(registry: Registry) -> None:
    assert describe("reducer", "local/needs_one", registry).example == {"name": "local/needs_one", "second": 2}


def test_a_component_that_cannot_be_constructed_is_described_all_the_same(registry: Registry) -> None:
    assert describe("reducer", "local/unwilling", registry).example == {"name": "local/unwilling", "size": 2}


def test_what_cannot_be_loaded_cannot_be_described() -> None:
    registry = Registry()
    registry.add(metricreg.registry.Entry("loss", "gone", "metricreg_gone:Gone", "acme"))  # type: ignore[attr-defined]
    with pytest.raises(RegistrationError, match="cannot be imported"):
        describe("loss", "gone", registry)
