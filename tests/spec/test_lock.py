"""`lock`: which distributions a spec uses, and which range says so."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

import metricreg
from metricreg.errors import SpecError
from metricreg.registry import Entry, Registry
from metricreg.spec.lock import compatible, installed, requirements
from tests.components.renamed import New, registry, spec_with

VERSIONS = {"acme-losses": "1.3.2", "acme-other": "0.4.1", "acme-odd": "not a version", "metricreg": "0.1.0"}


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def version(name: str) -> str:
        try:
            return VERSIONS[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    monkeypatch.setattr("metricreg.spec.lock.version", version)
    monkeypatch.setattr("metricreg.spec.spec.version", version)


@pytest.mark.parametrize(
    ("version", "range_"),
    [
        ("0.1.0", ">=0.1.0,<0.2"),
        ("1.2.3", ">=1.2.3,<2"),
        ("0.0.3", ">=0.0.3,<0.0.4"),
        ("0.0", ">=0.0,<0.1"),
        ("3", ">=3,<4"),
        ("2024.5", ">=2024.5,<2025"),
        ("1!2.0", ">=1!2.0,<1!3"),
        ("0.2.0.dev3+gabcdef", ">=0.2.0.dev3,<0.3"),
        ("1.0rc1", ">=1.0rc1,<2"),
        ("1.2.post1", ">=1.2.post1,<2"),
        ("1.2.3+cu126", ">=1.2.3,<2"),
    ],
)
def test_a_range_begins_with_what_is_installed_and_ends_where_compatibility_does(version: str, range_: str) -> None:
    assert compatible(version) == range_
    assert SpecifierSet(range_).contains(version, prereleases=True)
    (exact,) = requirements({}, {"x": version}, exact=True).values()
    assert SpecifierSet(exact).contains(version, prereleases=True)
    assert "+" not in exact


@pytest.mark.parametrize("kind", ["distance", "loss", "reducer", "regularizer", "miner", "match"])
@pytest.mark.parametrize("name", ["acme/new", "acme/old"])
def test_what_a_spec_uses_is_in_requires_and_all_else_stays(kind: str, name: str) -> None:
    spec = spec_with(kind, name)
    locked = metricreg.lock(spec, registry=registry())
    assert locked == {**spec, "requires": {"metricreg": ">=0.1.0,<0.2", "acme-losses": ">=1.3.2,<2"}}
    assert metricreg.lock(locked, registry=registry()) == locked
    assert not metricreg.validate(locked, registry=registry())
    assert "requires" not in spec


def test_metricreg_itself_is_always_used() -> None:
    assert metricreg.lock({"loss": "ntxent"})["requires"] == {"metricreg": ">=0.1.0,<0.2"}
    assert metricreg.lock({"loss": "ntxent"}, exact=True)["requires"] == {"metricreg": "==0.1.0"}


def test_components_deep_inside_and_in_defaults_count() -> None:
    class Odd(metricreg.Loss):
        """With a distance from elsewhere."""

        default_reducer = New

        def terms(self, batch: Any) -> Any:
            return {"loss": metricreg.Term(self.distance.between(batch), batch.positives, kind="pos_pair")}

    known = registry()
    known.add(Entry("loss", "other/odd", Odd, "acme-other"))
    spec = {"loss": {"name": "multiple", "losses": {"a": "ntxent", "b": "other/odd"}}}
    locked = metricreg.lock(spec, registry=known)
    assert locked["requires"] == {
        "metricreg": ">=0.1.0,<0.2",
        "acme-losses": ">=1.3.2,<2",
        "acme-other": ">=0.4.1,<0.5",
    }
    built = metricreg.build(spec, registry=known)
    assert built.to_spec(requires=True, registry=known)["requires"] == locked["requires"]


def test_what_requires_says_is_kept_unless_it_is_to_be_renewed() -> None:
    spec = spec_with("loss", "acme/new") | {"requires": {"Acme_Losses": ">=1.2", "metricreg": ">=0.1,<1"}}
    known = registry()
    assert metricreg.lock(spec, registry=known)["requires"] == spec["requires"]
    renewed = metricreg.lock(spec, upgrade=True, registry=known)["requires"]
    assert renewed == {"Acme_Losses": ">=1.3.2,<2", "metricreg": ">=0.1.0,<0.2"}
    assert metricreg.lock(spec, exact=True, registry=known)["requires"] == {
        "Acme_Losses": "==1.3.2",
        "metricreg": "==0.1.0",
    }
    pipeline = metricreg.build({"loss": "ntxent", "requires": {"metricreg": ">=0.1"}})
    assert pipeline.to_spec(requires=True)["requires"] == {"metricreg": ">=0.1"}


def test_what_is_not_used_stays() -> None:
    spec = {"loss": "ntxent", "requires": {"acme-other": ">=0.4"}}
    for options in ({}, {"exact": True}, {"upgrade": True}):
        assert metricreg.lock(spec, **options)["requires"]["acme-other"] == ">=0.4"


def test_a_requirement_that_is_not_met_is_an_error_unless_it_is_renewed() -> None:
    spec = spec_with("loss", "acme/new") | {"requires": {"acme-losses": ">=2"}}
    with pytest.raises(
        SpecError, match=r"/requires/acme-losses: acme-losses 1.3.2 is installed, and this spec needs >=2"
    ):
        metricreg.lock(spec, registry=registry())
    assert metricreg.lock(spec, upgrade=True, registry=registry())["requires"]["acme-losses"] == ">=1.3.2,<2"
    with pytest.raises(SpecError, match="acme-none"):
        metricreg.lock(spec | {"requires": {"acme-none": "==1"}}, upgrade=True, registry=registry())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "a spec is an object"),
        ({"loss": "nothing"}, "unknown loss 'nothing'"),
        ({"loss": "ntxent", "requires": []}, "/requires: should be an object"),
        ({"loss": "ntxent", "requires": {"acme-other": 3}}, "/requires/acme-other: should be a valid string"),
        ({"loss": "ntxent", "requires": None}, "/requires: should be an object"),
        ({"loss": "ntxent", "requires": {"acme-other": ">=x"}}, "is no version specifier"),
    ],
)
def test_a_spec_with_problems_is_not_locked(spec: Any, message: str) -> None:
    for options in ({}, {"exact": True}, {"upgrade": True}):
        with pytest.raises(SpecError, match=message):
            metricreg.lock(spec, **options)


@pytest.mark.parametrize("distribution", ["this process", "acme-odd"])
def test_a_component_of_no_distribution_with_a_version_cannot_be_locked(distribution: str) -> None:
    known = Registry()
    known.add(*metricreg.default_registry())
    known.add(Entry("reducer", "local/new", New, distribution))
    spec = {"loss": {"name": "multiple", "losses": {"a": {"name": "ntxent", "reducer": "local/new"}}}}
    said = f"the reducer 'local/new' is of '{distribution}', which is no installed distribution with a version"
    with pytest.raises(SpecError, match=said) as caught:
        metricreg.lock(spec, registry=known)
    assert caught.value.problems[0].pointer == "/loss/losses/a/reducer"
    pipeline = metricreg.build(spec, registry=known)
    with pytest.raises(SpecError, match=said):
        pipeline.to_spec(requires=True, registry=known)
    assert installed([pipeline.loss], known, all_of_them=False) == {"metricreg": "0.1.0"}


def test_a_class_matrix_that_no_memory_holds_is_locked() -> None:
    spec = {"loss": {"name": "arcface", "num_classes": 10**9, "embedding_size": 512}}
    assert metricreg.lock(spec)["requires"] == {"metricreg": ">=0.1.0,<0.2"}
