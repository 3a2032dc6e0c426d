"""The JSON Schema: what it accepts and rejects, beside what `validate` says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

import metricreg
from metricreg import Registry, json_schema, register, validate
from metricreg.registry.entry_points import load_entry_points
from tests.components.test_signature import Everything
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


@settings(deadline=None, derandomize=True, max_examples=200, suppress_health_check=list(HealthCheck))
@given(plausible())
def test_schema_and_validate_agree(document: Any) -> None:
    try:
        text = json.dumps(document, allow_nan=False)
        text.encode()
        document = json.loads(text)
    except (ValueError, UnicodeEncodeError):  # not JSON at all
        return
    accepted = AGREEING.is_valid(document)
    report = validate(document)
    if accepted:  # the schema does not know rules across parameters, requirements, or 64 bits
        known = (
            "low",
            "weights",
            "miners",
            "losses",
            "works with",
            "64 bits",
            "installed",
            "specifier",
            "float",
            "text",
            "labels",
            "its own",
            "give n_bins alone",
            "needs similarities",
            "k_temperatures",
            "between min and max",
            "no batch satisfies",
        )
        assert all(any(word in p.message for word in known) for p in report), str(report)
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
