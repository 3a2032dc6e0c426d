"""Purity: what a component may not change, and what it may not draw."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricreg.batch.terms import HingeTriplets, Scalar, Term
from metricreg.components import Loss
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example, state_of
from metricreg.testing.inputs import Inputs, batch_of
from metricreg.testing.results import Result, call, difference
from metricreg.testing.terms import forms_of


@check(mend="make a new tensor, such as x / n for x.div_(n), or change a clone")
def leaves_its_inputs_alone(example: Example) -> None:
    """A call changes none of the tensors that it is given."""
    inputs = example.inputs
    given = {name: value for name, value in vars(inputs).items() if isinstance(value, Tensor)}
    before = {name: (value.clone(), value._version) for name, value in given.items()}
    call(example.make(), inputs)
    for name, (value, version) in before.items():
        if given[name]._version != version or not torch.equal(given[name], value):
            fail(f"{name} was changed in place, {given[name]._version - version} times")


@check(
    "loss",
    "distance",
    "reducer",
    "regularizer",
    "match",
    mend="draw in prepare, change state in update_buffers, and keep what is needed later in neither: return it",
)
def is_pure(example: Example) -> None:
    """`terms`, `matrix`, `prepare` of a distance, `statistics`, `related`: they draw and keep nothing, and repeat."""
    component = example.make()
    for name, ask in _pure(component, example.inputs):
        state, kept, random_state = state_of(component), _kept(component), _random_state()
        want = ask()
        found = difference(ask(), want, 1e-12)
        if not all(np.array_equal(a, b) for a, b in zip(random_state, _random_state(), strict=True)):
            fail(f"{name} draws random numbers")
        if found:
            fail(f"{name}, asked again, makes something else: {found}")
        changed = difference(state_of(component), state, 0.0) or _changed(kept, _kept(component))
        if changed:
            fail(f"{name} changes the state: {changed}")


def _pure(component: Any, inputs: Inputs) -> Iterator[tuple[str, Callable[[], Result]]]:
    """The functions that have to be pure, by name."""
    x, every = inputs.embeddings, torch.arange(len(inputs))
    if component.kind == "loss":
        if type(component).evaluate is not Loss.evaluate:
            skip("it is made of losses, each with terms of its own")
        prepared = component.prepare(component.with_match(batch_of(inputs)))
        part = prepared.rows(len(inputs) // 4, len(inputs) // 2)
        yield "terms", lambda: _values(component.terms(part))
    elif component.kind == "distance":
        prepared = component.prepare(x)
        yield "prepare", lambda: {"it": component.prepare(x)}
        yield "matrix", lambda: {"it": component.matrix(prepared, prepared)}
    elif component.kind == "regularizer":
        yield "terms", lambda: _values(component.terms(x))
    elif component.kind == "reducer":
        term = forms_of(inputs)["values of which some count"](every)
        name = "statistics" if component.additive else "reduce"
        yield name, lambda: call(component, inputs) if not component.additive else _listed(component, term)
    else:
        yield "related", lambda: call(component, inputs)


def _listed(reducer: Any, term: Term) -> Result:
    return {str(k): value for k, value in enumerate(reducer.for_term(term.name).statistics(term))}


def _values(terms: Any) -> Result:
    found: Result = {}
    for name, term in terms.items():
        if isinstance(term, Scalar):
            found |= {f"'{name}' {k}": value for k, value in enumerate(term.statistics)}
        elif isinstance(term, HingeTriplets):
            found |= {f"'{name}' x": term.x, f"'{name}' y": term.y}
        else:
            found[f"'{name}'"] = term.values
    return found


def _kept(component: Any) -> dict[str, Any]:
    """Public attributes of a component and of those in it; the engine's own notes are private."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, part in component.named_modules()
        for name, value in vars(part).items()
        if not name.startswith("_")
    }


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    for name in list(before) + list(after):
        if name not in before or name not in after or before[name] is not after[name]:
            return f"the attribute '{name}' is another"
    return None


def _random_state() -> tuple[Any, ...]:
    of_numpy: Any = np.random.get_state()
    return torch.get_rng_state().numpy(), of_numpy[1], np.array(random.getstate()[1])
