"""The JSON Schema: what it accepts and rejects, beside what `validate` says."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

import metricreg
from metricreg import Registry, SpecError, json_schema, register, validate
from metricreg.registry.entry_points import load_entry_points
from metricreg.spec.document import plain
from tests.components.test_signature import Everything
from tests.spec.fuzzing import mutated
from tests.spec.test_spec import EXAMPLE, WRONG, changed, plausible


@pytest.fixture(name="schema", scope="module")
def _schema() -> dict[str, Any]:
    return json_schema()


@pytest.fixture(name="validator", scope="module")
def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_plain_json_of_the_2020_dialect(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.without_broken_plugins
def test_there_is_one_definition_a_kind_and_a_component(schema: dict[str, Any]) -> None:
    definitions = set(schema["$defs"])
    assert {"distance", "loss", "reducer", "regularizer", "miner"} <= definitions
    assert {f"{e.kind}.{e.name.replace('/', '.')}" for e in metricreg.default_registry()} <= definitions


def test_every_reference_resolves(schema: dict[str, Any]) -> None:
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    assert found
    assert {f"#/$defs/{name}" for name in schema["$defs"]} >= found


@pytest.mark.without_broken_plugins
def test_every_component_and_parameter_is_described(schema: dict[str, Any]) -> None:
    for name, definition in schema["$defs"].items():
        if name.count(".") and "properties" in definition and "name" in definition["properties"]:
            assert definition["description"], name
            undescribed = [p for p, s in definition["properties"].items() if p != "name" and not s.get("description")]
            assert undescribed == [], name


def test_the_example_is_accepted(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(EXAMPLE)
    validator.validate(metricreg.build(EXAMPLE).to_spec(defaults=True))
    validator.validate({"$schema": "x", **EXAMPLE, "requires": {"numpy": ">=1"}})


@pytest.mark.parametrize(("path", "value", "pointer", "says"), WRONG)
def test_every_wrong_variant_is_rejected(
    path: str, value: Any, pointer: str, says: str, validator: jsonschema.Draft202012Validator
) -> None:
    document = changed(path, value)
    assert not validator.is_valid(document)
    assert pointer in {p.pointer for p in validate(document)}


def test_an_error_names_the_place_and_not_every_component(validator: jsonschema.Draft202012Validator) -> None:
    best = jsonschema.exceptions.best_match(validator.iter_errors(changed("/loss/distance/p", 0)))
    assert best is not None
    assert list(best.absolute_path)[:1] == ["loss"]
    leaves = _leaves(best)
    assert [list(e.absolute_path) for e in leaves if e.validator == "exclusiveMinimum"] == [["loss", "distance", "p"]]


def _leaves(error: Any) -> list[Any]:
    return [error] if not error.context else [leaf for inner in error.context for leaf in _leaves(inner)]


# -- what only `validate` finds -------------------------------------------------------------------------------------------


def loss(name: str, **parameters: Any) -> dict[str, Any]:
    return {"loss": {"name": name, **parameters}}


ONLY_VALIDATE: dict[str, tuple[str, list[dict[str, Any]]]] = {
    # what the table of docs/spec.md calls it; what its messages say; specs that only `validate` refuses
    "the whole document": (
        "numbers are at most as large as a float|half of a surrogate pair|a text has at most|more than 32 nested|an object has at most|"
        "the document has more than|strings and keys of the document|a spec names at most",
        [loss("contrastive", pos_margin=10**400), loss("multiple", losses=["contrastive"] * 1001), loss("contrastive") | {"$schema": "\ud800"}],
    ),
    "`requires`": (
        "is installed, and this spec needs|is not installed|is no version specifier",
        [loss("contrastive") | {"requires": needs} for needs in ({"no-such-thing": ""}, {"torch": ">99"}, {"torch": "===x"}, {"torch": ">=x"})],
    ),
    "`distance`": (
        "works with|needs similarities from|needs distances that are|is about",
        [
            loss("tuplet_margin", distance="lp"), loss("ranked_list", margin=0.5, Tn=1, distance="cosine"), loss("angular", distance={"name": "lp", "p": 1}),
            loss("fast_ap", distance={"name": "lp", "p": 1}), loss("vicreg", distance={"name": "lp", "p": 1}),
            loss("barlow_twins", distance={"name": "cosine", "power": 2}), loss("histogram", distance={"name": "dot_product", "normalize": False}),
            loss("contrastive", embedding_regularizer={"name": "regular_face", "distance": "lp"}),
        ],
    ),
    "`loss` of `cross_batch_memory`": (
        "cannot be compared with a memory",
        [loss("cross_batch_memory", embedding_size=4, loss=inner) for inner in ("vicreg", {"name": "arcface", "num_classes": 2, "embedding_size": 4})],
    ),
    "`loss` of `self_supervised`": (
        "of its own, and here each sample is its own class|compares two views row by row, and not all",
        [
            loss("self_supervised", loss={"name": "arcface", "num_classes": 2, "embedding_size": 4}),
            loss("self_supervised", loss={"name": "multiple", "losses": ["vicreg", "ntxent"]}),
        ],
    ),
    "`weights`, `miners` of `multiple`": (
        "must be a (mapping|list), as losses is|entries for|, which is no loss|lacks the loss",
        [
            loss("multiple", losses=["contrastive"], weights={"a": 1}), loss("multiple", losses=["contrastive"], weights=[1, 1]),
            loss("multiple", losses={"a": "contrastive"}, miners={"b": "batch_hard"}), loss("multiple", losses={"a": "ntxent"}, weights={}),
        ],
    ),
    "names in `losses`, `reducers`": (
        "cannot be named",
        [
            loss("multiple", losses={"a.b": "contrastive"}), loss("multiple", losses={"": "contrastive"}),
            loss("contrastive", reducer={"name": "multiple", "reducers": {"keys": "mean"}}),
        ],
    ),
    "a learned number": ("lies between min and max", [loss("ntxent", temperature={"learned": 1, "max": 0.5})]),
    "`threshold`": (
        "give low, high, or both|low must be under high",
        [loss("contrastive", reducer={"name": "threshold", **given}) for given in ({}, {"low": 2, "high": 1})],
    ),
    "`histogram`": ("give n_bins alone", [loss("histogram", n_bins=3, delta=0.5), loss("histogram", delta=0.3)]),
    "`recall_at_k`": ("give one each", [loss("recall_at_k", k=[1, 2], k_temperatures=[1])]),
    "`dynamic_arcface`": (
        "is above the upper", [loss("dynamic_arcface", class_counts=[1], embedding_size=2, margin_bounds=[2, 1])]
    ),
    "`batch_easy_hard`": (
        "semihard is measured against|is \\(least, greatest\\)",
        [
            loss("contrastive") | {"miner": {"name": "batch_easy_hard", "pos_strategy": "semihard", "neg_strategy": "semihard"}},
            loss("contrastive") | {"miner": {"name": "batch_easy_hard", "allowed_pos_range": [2, 1]}},
        ],
    ),
    "`distance_weighted`": (
        "cutoff is less than nonzero_loss_cutoff",
        [loss("contrastive") | {"miner": {"name": "distance_weighted", "cutoff": 2, "nonzero_loss_cutoff": 1}}],
    ),
    "`mahalanobis`": (
        "rank is at most embedding_size", [loss("contrastive", distance={"name": "mahalanobis", "embedding_size": 2, "rank": 3})]
    ),
    "the parts together": (
        "no batch satisfies this",
        [loss("contrastive", reducer="divisor"), loss("vicreg") | {"miner": "batch_hard"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", ONLY_VALIDATE)
def test_what_only_validate_finds_is_found_by_it_alone(where: str, validator: jsonschema.Draft202012Validator) -> None:
    says, specs = ONLY_VALIDATE[where]
    for document in specs:
        assert validator.is_valid(document)
        (problem, *_) = validate(document)
        assert re.search(says, problem.message), problem


def test_the_docs_list_what_only_validate_finds() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "spec.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| what only `validate` looks at | the rule |\n|---|---|\n")
    rows = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines())
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(ONLY_VALIDATE)


@settings(deadline=None, derandomize=True, max_examples=400, suppress_health_check=list(HealthCheck))
@given(plausible() | mutated())
def test_schema_and_validate_agree_on_everything_else(document: Any) -> None:
    try:
        document = json.loads(json.dumps(plain(document)))
    except SpecError:  # not JSON at all
        return
    report = validate(document)
    if AGREEING.is_valid(document):
        says = "|".join(says for says, _ in ONLY_VALIDATE.values())
        assert [str(p) for p in report if not re.search(says, p.message)] == []
    else:
        assert report


AGREEING = jsonschema.Draft202012Validator(json_schema())


def test_a_plugins_component_is_in_the_schema_with_everything_its_hints_say() -> None:
    registry = Registry(loader=load_entry_points)
    register(Everything, registry=registry)
    schema = json_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def spec(**parameters: Any) -> dict[str, Any]:
        return {"loss": {"name": "contrastive", "reducer": {"name": "local/everything", **parameters}}}

    good = {
        "real": 1, "whole": 4.0, "flag": True, "text": "x", "choice": 3, "colour": "blue", "level": 2, "positive": 1, "maybe": 2,
        "either": "all", "numbers": [1, 2], "pair": [1, 2], "many": [], "rates": {"a": 0}, "window": {"low": 1}, "reducer": "mean",
        "reducers": [{"name": "threshold", "low": 1}], "named": {"a": "lp"},
    }  # fmt: skip
    validator.validate(spec(**good))
    assert not validate(spec(**good), registry=registry)
    bad = {
        "real": "1", "whole": 4.5, "flag": 1, "text": 1, "choice": "c", "colour": "green", "level": 3, "positive": 0, "maybe": -1,
        "either": 0, "numbers": ["1"], "pair": [1], "many": 1, "rates": {"a": -1}, "window": {"low": 1, "lwo": 1}, "reducer": "lp",
        "reducers": [{"name": "threshold", "lw": 1}], "named": {"a": "mean"}, "unknown": 1,
    }  # fmt: skip
    for key, value in bad.items():
        assert not validator.is_valid(spec(**{key: value})), key
        (problem, *_) = validate(spec(**{key: value}), registry=registry)
        assert problem.pointer.startswith(f"/loss/reducer/{key}")


def test_an_empty_registry_has_a_schema_that_accepts_nothing() -> None:
    schema = json_schema(Registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    for loss in ("contrastive", {"name": "contrastive"}):
        assert not jsonschema.Draft202012Validator(schema).is_valid({"loss": loss})
