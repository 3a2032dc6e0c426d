"""What a plugin's component raises when it is constructed or checked: who, where, and never the end of the process."""

from __future__ import annotations

import pytest

import metricreg
from metricreg.errors import SpecError
from metricreg.spec.describe import describe
from tests.registry.distributions import filled

FAULTS = {
    "init_raises": "Half (init_raises/half of acme-init-raises) cannot be constructed: KeyError: 'margin' (at ",
    "init_exits": "Half (init_exits/half of acme-init-exits) cannot be constructed: SystemExit: no licence (at ",
    "init_unspeakable": "(its text cannot be made)",
    "validator_exits": "Half (validator_exits/half of acme-validator-exits) cannot be checked: SystemExit: 0.5",
}


@pytest.mark.parametrize("case", FAULTS)
def test_build_and_create_name_component_distribution_and_place(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, case)
    parameters = {"factor": 0.5} if case == "validator_exits" else {}
    reducer = {"name": f"{case}/half", **parameters}
    with pytest.raises(SpecError) as built:
        metricreg.build({"loss": {"name": "contrastive", "reducer": reducer}}, registry=registry)
    with pytest.raises(SpecError) as created:
        metricreg.create("reducer", f"{case}/half", registry=registry, **parameters)
    for error in (built.value, created.value):
        assert FAULTS[case] in str(error)
        assert str(error).isprintable()
        assert error.__cause__ is not None
        if case.startswith("init_r"):
            assert f"acme_{case}_half.py:" in str(error)


@pytest.mark.parametrize("case", FAULTS)
def test_validate_and_describe_survive(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, case)
    spec = {"loss": {"name": "contrastive", "reducer": {"name": f"{case}/half", "factor": 0.5}}}
    if case != "validator_exits":
        del spec["loss"]["reducer"]["factor"]  # type: ignore[attr-defined]
    report = metricreg.validate(spec, registry=registry)
    (problem,) = (*report.problems, *report.unchecked)
    assert problem.pointer == "/loss/reducer"
    assert describe("reducer", f"{case}/half", registry).path == f"acme_{case}_half:Half"
    assert f"reducer.{case}.half" in metricreg.json_schema(registry)["$defs"]


def test_a_default_is_named_by_the_registry_that_is_asked() -> None:
    registry = metricreg.Registry()
    for name in ("loss contrastive", "reducer avg_non_zero"):
        registry.add(metricreg.default_registry().entry(*name.split()))
    defaults = {p.name: p.default for p in describe("loss", "contrastive", registry).parameters}
    assert defaults["reducer"] == '"avg_non_zero"'
    assert defaults["distance"] == "metricreg.distances.lp:LpDistance"  # which has no name in this registry


def test_an_example_names_what_the_registry_has() -> None:
    registry = metricreg.Registry()
    for name in ("loss multiple", "loss supcon"):
        registry.add(metricreg.default_registry().entry(*name.split()))
    assert "contrastive" not in str(describe("loss", "multiple", registry).example)
