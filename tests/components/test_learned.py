"""Numbers that are learned, and numbers that only look as if they were."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import metricreg
from metricreg import Execution, LearnedNumber, SpecError, create, default_registry
from metricreg.components.signature import parameters_model
from tests.oracle import rows

WITH_TEMPERATURE = ["ntxent", "supcon", "multi_supcon", "decoupled_contrastive", "siglip", "normalized_softmax"]
LABELS = torch.arange(12) % 4
OTHERS: dict[str, Any] = {"normalized_softmax": {"num_classes": 4, "embedding_size": 5}}
PLANS = [Execution("dense"), Execution("tiled", tile=3)]


def loss_of(name: str, temperature: Any) -> Any:
    torch.manual_seed(0)
    return create("loss", name, temperature=temperature, **OTHERS.get(name, {})).double()


@pytest.mark.parametrize("plan", PLANS, ids=["dense", "tiled"])
@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_a_learned_temperature_has_the_gradient_of_the_formula(name: str, plan: Execution) -> None:
    x = rows(12)
    learned = loss_of(name, {"learned": 0.3})
    value = learned(x, LABELS, execution=plan)
    fixed = loss_of(name, 0.3)
    torch.testing.assert_close(value, fixed(x, LABELS, execution=plan), rtol=1e-6, atol=0)
    value.backward()
    found, h = [], 1e-4
    for step in (h, -h):
        moved = copy.deepcopy(learned)
        moved.temperature.log.data += step
        found.append(moved(x, LABELS, execution=plan).detach())
    slope = (found[0] - found[1]) / (2.0 * h)
    torch.testing.assert_close(learned.temperature.log.grad, slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_embeddings_have_the_gradient_of_a_fixed_one(name: str) -> None:
    for plan in PLANS:
        gradients = []
        for temperature in ({"learned": 0.3}, 0.3):
            x = rows(12).detach().requires_grad_()
            gradients += torch.autograd.grad(loss_of(name, temperature)(x, LABELS, execution=plan), x)
        torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_of_half_precision_it_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    x = rows(12).float()
    for initial in (0.07, 1e-3):  # whose quotients half precision does not hold
        for plan in PLANS:
            learned, fixed = (loss_of(name, given).to(dtype) for given in ({"learned": initial}, initial))
            value = learned(x, LABELS, execution=plan)
            assert value.dtype is torch.float32
            torch.testing.assert_close(value, fixed(x, LABELS, execution=plan), rtol=0.02, atol=1e-3)
            value.backward()
            assert learned.temperature.log.grad.isfinite()


def test_it_stays_between_its_bounds_and_can_return() -> None:
    number = LearnedNumber(0.1, 0.05, 0.5)
    torch.testing.assert_close(number(), torch.tensor(0.1))
    optimizer = torch.optim.SGD(number.parameters(), lr=0.5)
    for sign, bound in ((-1.0, 0.5), (1.0, 0.05)):
        for _ in range(200):
            optimizer.zero_grad()
            (sign * number().log()).backward()
            optimizer.step()
            assert 0.0499 <= number().detach().item() <= 0.5001
        torch.testing.assert_close(number().detach().item(), bound)
        optimizer.zero_grad()
        (-sign * number().log()).backward()
        optimizer.step()
        assert number().detach().item() != bound


def test_it_is_of_the_state_and_of_the_spec() -> None:
    spec = {"version": 1, "loss": {"name": "ntxent", "temperature": {"learned": 0.07, "min": 0.01, "max": 0.5}}}
    objective = metricreg.build(spec)
    assert objective.to_spec() == spec
    assert list(objective.state_dict()) == ["loss.temperature.log"]
    other = metricreg.build(spec)
    other.load_state_dict({"loss.temperature.log": torch.tensor(0.5)})
    assert float(other.loss.temperature().detach()) != float(objective.loss.temperature().detach())
    assert "between 0.01 and 0.5" in repr(objective)


@pytest.mark.parametrize(
    "bad", [{"learned": 0.07, "min": 0.1}, {"learned": -1.0}, {"min": 0.1}, {"learned": 0.1, "maximum": 1.0}]
)
def test_what_is_not_between_its_bounds_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"temperature|between"):
        metricreg.build({"loss": {"name": "ntxent", "temperature": bad}})


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_a_misspelt_key_of_it_gets_a_suggestion(name: str) -> None:
    more = OTHERS.get(name, {})
    for given, key, meant in (({"learnd": 0.5}, "learnd", "learned"), ({"learned": 0.5, "mn": 0.1}, "mn", "min")):
        for make in (
            lambda spec: metricreg.build({"loss": spec}),
            lambda spec: create("loss", spec.pop("name"), **spec),
        ):
            with pytest.raises(SpecError) as caught:
                make({"name": name, "temperature": given, **more})
            (problem,) = caught.value.problems
            assert problem.pointer.endswith(f"/temperature/{key}")
            assert problem.message == f"unknown parameter '{key}'; did you mean '{meant}'?"


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_a_parameter_in_a_spec_is_told_the_way_out(name: str) -> None:
    for given in (torch.nn.Parameter(torch.tensor(0.5)), {"learned": torch.nn.Parameter(torch.tensor(0.5))}):
        (problem,) = metricreg.validate({"loss": {"name": name, "temperature": given, **OTHERS.get(name, {})}})
        assert problem.message.endswith('is given by what it is at first: {"learned": 0.07}')


@pytest.mark.parametrize("tile", [torch.nn.Parameter(torch.tensor(5.0)), torch.tensor(5), 5.5, True, "5", [5]])
def test_a_tile_is_an_integer(tile: Any) -> None:
    with pytest.raises(SpecError, match="tile None or an integer of at least 1"):
        Execution("tiled", tile=tile)
    assert type(Execution("tiled", tile=np.int64(5)).tile) is int


def numbers() -> list[tuple[str, str, str]]:
    found = []
    for kind in ("loss", "miner", "distance", "reducer", "regularizer", "match"):
        for name in default_registry().names(kind):
            fields = parameters_model(default_registry().get(kind, name)).model_fields
            found += [(kind, name, field) for field, info in fields.items() if "float" in str(info.annotation)]
    return found


@pytest.mark.parametrize(("kind", "name", "parameter"), numbers())
def test_every_number_refuses_a_tensor_that_wants_a_gradient(kind: str, name: str, parameter: str) -> None:
    given = torch.nn.Parameter(torch.tensor(0.5))
    messages = []
    for value in (given, [given, 1.0], {"a": given}, (given, given)):  # of which some hint takes one
        with pytest.raises(SpecError) as caught:
            create(kind, name, **{parameter: value})
        messages += [p.message for p in caught.value.problems if p.pointer.split("/")[1:2] == [parameter]]
    assert any("wants a gradient" in message for message in messages), messages
