"""`migrate`: older versions of the format, and former names, become those of now."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest

import metricreg
from metricreg.errors import SpecError
from metricreg.registry import KINDS
from metricreg.spec.versions import MIGRATIONS, VERSION, in_newest_version
from tests.components.renamed import registry, spec_with


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acme/old", "acme/new"),
        ({"name": "acme/older"}, {"name": "acme/new"}),
        ({"name": "acme/new", "limit": 2}, {"name": "acme/new", "cap": 2}),
        ({"limit": 2, "name": "acme/old"}, {"cap": 2, "name": "acme/new"}),
    ],
)
def test_former_names_become_those_of_now_in_their_places(kind: str, old: Any, new: Any) -> None:
    known, spec = registry(), spec_with(kind, old)
    given = copy.deepcopy(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        migrated = metricreg.migrate(spec, registry=known)
        assert metricreg.migrate(migrated, registry=known) == migrated
        metricreg.build(migrated, registry=known)
    assert migrated == spec_with(kind, new)
    assert list(migrated.get("loss", {})) == list(spec_with(kind, new).get("loss", {}))
    assert spec == given


def test_a_parameter_and_the_component_that_it_holds_may_both_be_renamed() -> None:
    deep = {"name": "acme/old", "old_inner": {"name": "multiple", "reducers": {"old_inner": "acme/older"}}}
    spec = {"loss": {"name": "acme/old", "reducer": {"name": "acme/new", "old_inner": "acme/old"}, "limit": 2}}
    assert metricreg.migrate(spec, registry=registry()) == {
        "loss": {"name": "acme/new", "reducer": {"name": "acme/new", "inner": "acme/new"}, "cap": 2}
    }
    assert metricreg.migrate(spec_with("reducer", deep), registry=registry()) == spec_with(
        "reducer",
        {"name": "acme/new", "inner": {"name": "multiple", "reducers": {"old_inner": "acme/new"}}},
    )


def test_what_is_up_to_date_stays() -> None:
    spec = {"$schema": "x", "loss": {"name": "ntxent", "temperature": 1}, "requires": {"metricreg": ">=0"}}
    assert metricreg.migrate(spec) == spec


@pytest.mark.parametrize("spec", [3, {"loss": "nothing"}, {"loss": {"name": "acme/new", "limit": "x"}}])
def test_a_spec_with_problems_is_not_migrated(spec: Any) -> None:
    with pytest.raises(SpecError):
        metricreg.migrate(spec, registry=registry())


def test_a_newer_version_names_the_metricreg_that_it_needs() -> None:
    newer = {"version": VERSION + 1, "loss": {"name": "from the future", "unknown": 1}, "more": True}
    for read in (metricreg.migrate, metricreg.build, metricreg.lock):
        with pytest.raises(SpecError, match=r"version 2 of the format needs a newer metricreg than 0") as caught:
            read(newer)
        (problem,) = caught.value.problems
        assert problem.pointer == "/version"
        assert "reads up to version 1: pip install --upgrade 'metricreg>0" in problem.message
    (found,) = metricreg.validate(newer | {"requires": {"metricreg": ">=2,<3", "x": 3}})
    assert found.message.endswith("pip install --upgrade 'metricreg>=2,<3'")
    (found,) = metricreg.validate(newer | {"requires": [3]})
    assert "metricreg>0" in found.message


@pytest.mark.parametrize("version", [True, "1", None, 1.5, 0, -1, [1], 10**30])
def test_what_is_no_version_is_a_problem_there(version: Any) -> None:
    (found,) = metricreg.validate({"version": version, "loss": "ntxent"})
    assert found.pointer == "/version"


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version 0 and a version -1, as if they had been: `objective` was called `loss` before, and `target` before."""

    def of_minus_1(document: dict[str, Any]) -> dict[str, Any]:
        return {"objective" if key == "target" else key: value for key, value in document.items()}

    def of_0(document: dict[str, Any]) -> dict[str, Any]:
        return {"loss" if key == "objective" else key: value for key, value in document.items()}

    monkeypatch.setitem(MIGRATIONS, -1, of_minus_1)
    monkeypatch.setitem(MIGRATIONS, 0, of_0)


@pytest.mark.usefixtures("older")
def test_an_older_version_goes_through_all_versions_since() -> None:
    new = {"version": 1, "loss": "ntxent", "miner": "multi_similarity"}
    assert metricreg.migrate({"version": 0, "objective": "ntxent", "miner": "multi_similarity"}) == new
    assert metricreg.migrate({"version": -1, "target": "ntxent", "miner": "multi_similarity"}) == new
    assert metricreg.migrate(new) == new
    assert in_newest_version({"loss": "ntxent"}) == {"loss": "ntxent"}
    old_name = {"version": 0, "objective": {"name": "acme/old", "limit": 2}}
    assert metricreg.migrate(old_name, registry=registry()) == {"version": 1, "loss": {"name": "acme/new", "cap": 2}}


@pytest.mark.usefixtures("older")
def test_an_older_version_is_not_built_but_told_how_to_become_one_of_now() -> None:
    with pytest.raises(SpecError, match=r"/version: version 0 of the format is older than 1.*metricreg migrate FILE"):
        metricreg.build({"version": 0, "objective": "ntxent"})
