"""State: copies of a component, what is saved of it, and what it draws."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch

from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example, state_of
from metricreg.testing.results import difference, result


@check(mend="keep no handles, locks, generators or closures over itself in an instance", after=("is_pure",))
def can_be_copied(example: Example) -> None:
    """A `deepcopy`, made between two steps, goes on like the original, and leaves that alone."""
    _goes_on(example, copy.deepcopy, "a deepcopy")


@check(
    mend="define the class at the top of a module, and keep no lambda and no local function in an instance",
    after=("is_pure",),
)
def can_be_pickled(example: Example) -> None:
    """What `pickle` makes of it, between two steps, goes on like the original."""
    _goes_on(example, lambda component: pickle.loads(pickle.dumps(component)), "what was pickled")


@check(mend="keep what changes, and what is drawn, in parameters and in buffers: self.register_buffer(name, tensor)")
def is_restored_by_its_state(example: Example) -> None:
    """A new one that loads its `state_dict`, saved between two steps with `weights_only`, goes on like the original."""

    def loaded(component: Any) -> Any:
        stored = io.BytesIO()
        torch.save(component.state_dict(), stored)
        stored.seek(0)
        fresh = example.make()
        with torch.no_grad():
            for tensor in fresh.state_dict().values():
                tensor.zero_()
        fresh.load_state_dict(torch.load(stored, weights_only=True))
        return fresh

    _goes_on(example, loaded, "a new one with its state")


def _goes_on(example: Example, copied: Callable[[Any], Any], what: str) -> None:
    """Compare the second and third step of a component with those of its copy."""
    first, *others = (example.inputs if seed == 0 else example.inputs.again(seed) for seed in range(3))
    component = example.make()
    result(component, first)
    other = copied(component)
    before = state_of(component)
    got = [result(other, inputs) for inputs in others]
    moved = difference(state_of(component), before, 0.0)
    if moved:
        fail(f"a step of {what} changes the original: the state {moved}")
    for made, inputs in zip(got, others, strict=True):
        found = difference(made, result(component, inputs), 1e-12)
        if found:
            fail(f"of {what}, {found}")
    found = difference(state_of(other), state_of(component), 1e-12)
    if found:
        fail(f"of {what}, after two steps, the state {found}")


@check(mend="draw with torch's own random numbers, by no generator of its own, and not from random or numpy")
def draws_by_the_seed(example: Example) -> None:
    """After `torch.manual_seed`, it is constructed with the same parameters, and makes the same."""
    if example.is_instance:
        skip("an instance is given, and not how it is constructed")
    example.make()
    first, second = (state_of(example.constructed(example.arguments)) for _ in range(2))
    found = difference(first, second, 0.0)
    if found:
        fail(f"constructed twice after the same seed, the state {found}")
    one, other = (result(example.make(), example.inputs) for _ in range(2))
    found = difference(one, other, 1e-12)
    if found:
        fail(f"called twice after the same seed, {found}")


@check(mend="change state only where self.training")
def keeps_its_state_in_evaluation(example: Example) -> None:
    """In evaluation mode, after `eval()`, its state stays as it is."""
    component = example.make().eval()
    before = state_of(component)
    result(component, example.inputs)
    found = difference(state_of(component), before, 0.0)
    if found:
        fail(f"a step in evaluation mode changes the state {found}")
