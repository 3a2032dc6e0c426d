"""Composition: names in a spec become validated components, tried on the meta device, then built."""

from __future__ import annotations

import random
import resource
import sys
import time
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import AfterValidator, BaseModel
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg import Distance, Loss, LossSlots, Reducer, Registry, SpecError, build, register, validate
from metricreg.components.loss import Terms
from metricreg.components.resolve import MAX_COMPONENTS
from metricreg.registry.entry_points import load_entry_points
from tests.components.plugin import Sum


class Reading(Sum):
    """Looks at a value of a tensor, which has none on the meta device."""

    def __init__(self, scale: float = 1.0, limit: float = 2.0) -> None:
        super().__init__()
        self.scale = torch.tensor(scale).item()
        if self.scale > limit:
            raise ValueError("scale exceeds limit")


class Wrapping(Sum):
    """Has reducers inside, and a rule about them."""

    def __init__(self, parts: list[Reducer], at_most: int = 2) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)
        if len(parts) > at_most:
            raise ValueError(f"{len(parts)} parts, at most {at_most}")


class Dividing(Sum):
    def __init__(self, share: Annotated[float, AfterValidator(lambda value: 1 / value)] = 1.0) -> None:
        super().__init__()


class Failing(Sum):
    def __init__(self, how: str = "key") -> None:
        super().__init__()
        if how == "key":
            raise KeyError("no such table")
        if how == "pydantic":
            Inner(number="x")  # type: ignore[arg-type]


class Inner(BaseModel):
    number: int


class Random(Loss):
    """Draws in every way."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.linear = torch.nn.Linear(4, 4)
        self.normal = torch.nn.Parameter(torch.randn(3))
        self.mine = torch.nn.Parameter(torch.empty(3, 3))
        for draw in (torch.nn.init.orthogonal_, torch.nn.init.kaiming_normal_, torch.nn.init.trunc_normal_):
            draw(self.mine)
        self.mine.data.uniform_()
        torch.randperm(4)

    def terms(self, batch: metricreg.Batch) -> Terms:
        return {}


class NeedsBoth(Distance):
    def __init__(self, inner: Distance, others: dict[str, Distance | None]) -> None:
        super().__init__()

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.mT


@pytest.fixture(name="registry", scope="module")
def _registry() -> Registry:
    registry = Registry(loader=load_entry_points)
    for cls in (Reading, Wrapping, Dividing, Failing, Random, NeedsBoth):
        register(cls, registry=registry)
    return registry


def reduced(reducer: Any) -> dict[str, Any]:
    return {"version": 1, "loss": {"name": "contrastive", "reducer": reducer}}


def problems(spec: Any, registry: Registry) -> dict[str, str]:
    report = validate(spec, registry=registry)
    assert not report.unchecked or not report.problems
    return {problem.pointer: problem.message for problem in report}


# -- unchecked components ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        (reduced("local/reading"), "/loss/reducer"),
        (reduced({"name": "multiple", "reducers": {"pos_loss": "local/reading"}}), "/loss/reducer/reducers/pos_loss"),
        (reduced({"name": "local/wrapping", "parts": ["mean", "local/reading"]}), "/loss/reducer/parts/1"),
        ({"version": 1, "loss": {"name": "multiple", "losses": [reduced("local/reading")["loss"]]}}, "/loss/losses/0/reducer"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_reported_and_still_builds(spec: Any, pointer: str, registry: Registry) -> None:
    report = validate(spec, registry=registry)
    assert not report
    assert [p.pointer for p in report.unchecked] == [pointer]
    assert "Reading cannot be checked without constructing it" in report.unchecked[0].message
    assert build(spec, registry=registry).to_spec(registry=registry) == spec


def test_a_rule_that_could_not_be_tried_is_located_when_built(registry: Registry) -> None:
    spec = reduced({"name": "local/wrapping", "parts": ["mean", {"name": "local/reading", "scale": 3}]})
    assert not validate(spec, registry=registry)
    with pytest.raises(SpecError, match="scale exceeds limit") as caught:
        build(spec, registry=registry)
    assert [p.pointer for p in caught.value.problems] == ["/loss/reducer/parts/1"]
    assert isinstance(caught.value.__cause__, ValueError)


def test_other_problems_are_found_beside_what_cannot_be_tried(registry: Registry) -> None:
    spec = reduced({"name": "local/wrapping", "parts": ["local/reading", {"name": "threshold", "low": "x"}]})
    spec["miner"] = {"name": "batch_hard", "distanc": "lp"}
    assert problems(spec, registry).keys() == {"/loss/reducer/parts/1/low", "/miner/distanc"}


# -- rules and failures -----------------------------------------------------------------------------------------------


def test_a_rule_across_parameters_is_located_with_its_cause(registry: Registry) -> None:
    spec = reduced({"name": "local/wrapping", "parts": ["mean", {"name": "threshold", "low": 2, "high": 1}]})
    assert "low must be under high" in problems(spec, registry)["/loss/reducer/parts/1"]
    with pytest.raises(SpecError) as caught:
        build(spec, registry=registry)
    assert isinstance(caught.value.__cause__, ValueError)
    spec = reduced({"name": "local/wrapping", "parts": ["mean", "sum"], "at_most": 1})
    assert problems(spec, registry) == {"/loss/reducer": "2 parts, at most 1"}


def test_any_exception_of_init_becomes_a_located_problem_when_built(registry: Registry) -> None:
    spec = reduced({"name": "multiple", "reducers": {"pos_loss": "local/failing"}})
    (unchecked,) = validate(spec, registry=registry).unchecked
    assert "KeyError: 'no such table'" in unchecked.message
    with pytest.raises(SpecError) as caught:
        build(spec, registry=registry)
    (problem,) = caught.value.problems
    assert problem.pointer == "/loss/reducer/reducers/pos_loss"
    assert "Failing cannot be constructed: KeyError: 'no such table'" in problem.message
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_validation_error_of_a_components_own_is_its_rule(registry: Registry) -> None:
    found = problems(reduced({"name": "local/failing", "how": "pydantic"}), registry)
    assert list(found) == ["/loss/reducer"]
    assert "valid integer" in found["/loss/reducer"]


def test_a_validator_that_raises_something_else_is_located(registry: Registry) -> None:
    found = problems(reduced({"name": "local/dividing", "share": 0}), registry)
    assert found == {"/loss/reducer": "Dividing cannot be checked: ZeroDivisionError: float division by zero"}


# -- names and places -------------------------------------------------------------------------------------------------


def test_containers_and_nullable_places_hold_components(registry: Registry) -> None:
    distance = {"name": "local/needs_both", "inner": "lp", "others": {"a": None, "b": {"name": "lp", "p": 1}}}
    spec = {"version": 1, "loss": {"name": "ntxent", "distance": distance}}
    assert build(spec, registry=registry).to_spec(registry=registry) == spec
    distance["others"] = {"a": None, "b": {"name": "lp", "p": -1}, "c/d~e": "lpp"}
    assert problems(spec, registry).keys() == {"/loss/distance/others/b/p", "/loss/distance/others/c~1d~0e"}


def test_of_a_failed_union_the_branch_that_was_meant_is_reported(registry: Registry) -> None:
    spec = {"loss": {"name": "multiple", "losses": ["contrastve", {"name": "ntxent", "temperature": 0}]}}
    assert problems(spec, registry).keys() == {"/loss/losses/0", "/loss/losses/1/temperature"}
    spec = {"loss": {"name": "multiple", "losses": {"a": {"name": "ntxent", "temperatur": 1}, "b": 3}}}
    assert problems(spec, registry).keys() == {"/loss/losses/a/temperatur", "/loss/losses/b"}
    (problem,) = validate({"loss": {"name": "multiple", "losses": 3}}, registry=registry)
    assert (problem.pointer, problem.given) == ("/loss/losses", "3")
    assert "list" in problem.message
    assert "object" in problem.message


def test_a_limit_of_components_is_kept() -> None:
    spec = {"loss": {"name": "multiple", "losses": ["dot"] * 5000}}
    assert [str(p) for p in validate(spec)] == ["(top level): a spec names at most 1,000 components"]
    fits = {"loss": {"name": "multiple", "losses": ["contrastive"] * (MAX_COMPONENTS - 1)}}
    assert not validate(fits)
    fits["loss"]["losses"].append("contrastive")  # type: ignore[index, attr-defined]
    assert "at most 1,000 components" in str(validate(fits))
    with pytest.raises(SpecError, match="invalid parameters of the loss 'multiple': a spec names at most 1,000"):
        metricreg.create("loss", "multiple", losses=["contrastive"] * 5000)
    with pytest.raises(SpecError, match="invalid rules: a spec names at most 1,000 components"):
        metricreg.LayerRegularization(torch.nn.Identity(), [{"pattern": str(i), "kernel": "l2"} for i in range(2000)])


def test_after_thousands_of_wrong_values_the_rest_is_not_looked_at() -> None:
    wrong = {"name": "contrastive", "reducer": {"name": "class_weighted", "weights": ["x"] * 5000}}
    assert len(validate({"loss": wrong})) == 100
    assert "more than 2,000 values" in str(validate({"loss": {"name": "multiple", "losses": [wrong] * 5}}))


# -- the meta device --------------------------------------------------------------------------------------------------

HUGE = {"loss": {"name": "arcface", "num_classes": 10**8, "embedding_size": 512}}


@pytest.mark.parametrize("init", [None, "normal", "orthogonal", "kaiming_uniform", "xavier_normal"])
def test_an_arcface_of_a_hundred_million_classes_validates_without_allocating(init: str | None) -> None:
    spec = {"loss": {**HUGE["loss"], "weight_init": init}}
    validate({"loss": {**spec["loss"], "num_classes": 2}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(3):
        start = time.process_time()
        report = validate(spec)
        seconds.append(time.process_time() - start)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert not report
    assert not report.unchecked
    assert min(seconds) < 0.25
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**26  # of 205 GB


def test_a_size_that_overflows_is_reported_as_unchecked_and_located_when_built() -> None:
    spec = {"loss": {"name": "arcface", "num_classes": 2**62, "embedding_size": 2**62}}
    assert [p.pointer for p in validate(spec).unchecked] == ["/loss"]
    with pytest.raises(SpecError, match="ArcFaceLoss cannot be constructed: RuntimeError"):
        build(spec)


def test_validation_draws_no_random_numbers(registry: Registry) -> None:
    spec = {"loss": {"name": "multiple", "losses": ["local/random", {**HUGE["loss"], "num_classes": 5}]}}
    torch.manual_seed(0)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    assert not validate(spec, registry=registry).unchecked
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])


def test_building_draws_the_same_numbers_as_constructing_by_hand() -> None:
    torch.manual_seed(0)
    built: Any = build({"loss": {"name": "arcface", "num_classes": 5, "embedding_size": 3}})
    torch.manual_seed(0)
    assert torch.equal(built.loss.proxies, metricreg.losses.ArcFaceLoss(5, 3).proxies)


def test_a_built_pipeline_has_nothing_on_the_meta_device(registry: Registry) -> None:
    spec = {"loss": {"name": "multiple", "losses": ["local/random", {**HUGE["loss"], "num_classes": 5}]}}
    pipeline = build(spec, registry=registry)
    tensors = [*pipeline.parameters(), *pipeline.buffers()]
    assert tensors
    assert {t.device.type for t in tensors} == {"cpu"}
    assert all(p.std() > 0 for p in pipeline.parameters() if p.numel() > 1)


def test_the_default_device_is_kept() -> None:
    with torch.device("meta"):
        assert not validate(HUGE)
        assert torch.empty(1).is_meta
    assert not validate(HUGE)
    assert torch.empty(1).device.type == "cpu"


def test_an_init_that_forgets_its_base_is_a_problem_of_the_spec(registry: Registry) -> None:
    class Baseless(Sum):
        def __init__(self, factor: float = 1.0) -> None:
            pass

    register(Baseless, registry=registry)
    assert "does not call super().__init__()" in problems(reduced("local/baseless"), registry)["/loss/reducer"]
