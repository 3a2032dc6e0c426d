"""Whatever may be given in a slot is looked at: if it raises, so does the component that holds it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from typing_extensions import Unpack

import metricreg
from metricreg import Distance, Match, Reducer, Regularizer, create, default_registry
from metricreg.batch.terms import Scalar
from metricreg.components.signature import parameters_model
from metricreg.components.type_hints import mentions
from tests.examples import Example, component, example

ASKED = {
    Distance: ("matrix", "between", "prepare"),
    Reducer: ("statistics", "finalize", "reduce"),
    Regularizer: ("terms",),
    Match: ("related", "check"),
}


class AskedError(Exception):
    """That of a component in a slot."""


COMPUTED = {("vicreg", "distance")}
"""Slots that hold nothing but what is computed without them."""


def slots(kind: str) -> list[tuple[str, str, type[Any]]]:
    """Each slot of each component of a kind, and the kind of component that it is for."""
    found = []
    for name in default_registry().names(kind):
        for slot, field in parameters_model(default_registry().get(kind, name)).model_fields.items():
            held = next((each for each in ASKED if mentions(field.annotation, each)), None)
            if held is not None and (name, slot) not in COMPUTED:
                found.append((name, slot, held))
    return found


def raising(held: Any, kind: type[Any]) -> Any:
    """The component, which raises when it is asked."""

    def ask(*given: Any) -> Any:
        raise AskedError

    for method in ASKED[kind]:
        setattr(held, method, ask)
    return held


def filled(kind: str, name: str, slot: str, held_kind: type[Any]) -> Any:
    """The component of the example, with one that raises in a slot."""
    usual = example(name).loss if kind == "loss" else component(kind, name)
    spec = usual.to_spec(defaults=True)
    inside = spec.get(slot) or {Match: "same_label", Regularizer: "lp"}[held_kind]
    inside = dict(inside) if isinstance(inside, dict) else {"name": inside}
    held = create(held_kind.kind, inside.pop("name"), **inside)
    return create(kind, spec.pop("name"), **(spec | {slot: raising(held, held_kind)}))


@pytest.mark.parametrize(("name", "slot", "held"), slots("miner"))
def test_every_slot_of_a_miner_is_looked_at(name: str, slot: str, held: type[Any]) -> None:
    miner = filled("miner", name, slot, held)
    with pytest.raises(AskedError):
        miner(torch.randn(12, 6), torch.arange(12) % 4)


@pytest.mark.parametrize(("name", "slot", "held"), slots("regularizer"))
def test_every_slot_of_a_regularizer_is_looked_at(name: str, slot: str, held: type[Any]) -> None:
    regularizer = filled("regularizer", name, slot, held)
    with pytest.raises(AskedError):
        regularizer(torch.randn(4, 6))


@pytest.mark.parametrize("name", ["barlow_twins", "histogram", "manifold", "p2s_grad", "threshold_consistent_margin"])
def test_a_loss_with_a_reduction_of_its_own_takes_no_reducer(name: str) -> None:
    spec = example(name).loss.to_spec()
    assert not metricreg.validate({"loss": spec})
    (problem,) = metricreg.validate({"loss": spec | {"reducer": "sum"}})
    assert problem.pointer == "/loss/reducer"
    assert "unknown parameter 'reducer'" in problem.message


class OneValue(metricreg.Loss):
    """A plugin's, which declares a reducer and never has it asked."""

    def __init__(self, **slots: Unpack[metricreg.LossSlots]) -> None:
        super().__init__(**slots)

    def terms(self, batch: metricreg.Batch) -> dict[str, Any]:
        total = (self.distance.between(batch) * batch.positives).sum()
        return {"loss": Scalar((total,), lambda total: total)}


def test_a_reducer_that_no_term_asks_is_refused() -> None:
    x, labels = torch.randn(12, 6), torch.arange(12) % 4
    OneValue()(x, labels)
    with pytest.raises(metricreg.MetricregError, match="leave 'reducer' out"):
        OneValue(reducer=metricreg.reducers.SumReducer())(x, labels)


def test_what_a_loss_computes_itself_is_all_that_its_slot_takes() -> None:
    class Other(metricreg.distances.LpDistance):
        """Another."""

    assert all(slot in parameters_model(default_registry().get("loss", name)).model_fields for name, slot in COMPUTED)
    with pytest.raises(metricreg.SpecError, match="not Other"):
        metricreg.losses.VICRegLoss(distance=Other(power=2, normalize=False))


@pytest.mark.parametrize(("name", "slot", "held"), slots("loss"))
def test_every_slot_of_a_loss_is_looked_at(name: str, slot: str, held: type[Any]) -> None:
    found = example(name)
    loss = filled("loss", name, slot, held)
    with pytest.raises(AskedError):
        Example(loss.double(), found.x, found.labels, found.y, found.ref_labels)()
