"""An example of a component: how it is made, and inputs that it takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.components.component import Component, components_in
from metricreg.components.resolve import Resolution, checked
from metricreg.components.signature import parameters_of
from metricreg.components.validation_errors import shown
from metricreg.errors import cut, printable, said_by
from metricreg.registry import IN_PROCESS, KINDS, LOCAL_NAMESPACE, Entry, Registry, default_registry
from metricreg.spec.describe import sample_arguments, takes
from metricreg.testing.inputs import Inputs, candidates
from metricreg.testing.results import call

SOME = 4
"""Classes, dimensions or whatever else it is that an integer without a default says, where it may be so many."""
NO_INPUTS = "none of the batches that were tried is taken"


class NoExampleError(Exception):
    """There is no component to look at, or no input that it takes; the check of that says so."""


class Example:
    """A component under test: how it is made, and inputs that it takes.

    Nothing is constructed before it is asked for.

    Args:
        given: a class, or an instance of which copies are looked at.
        parameters: arguments of the class: values, instances, or names and specs of components. Those that are required
            and not given are chosen from the hints.
        name: what it is called; made of the class and the parameters if None.
    """

    def __init__(
        self, given: type[Component] | Component, parameters: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        cls = given if isinstance(given, type) else type(given)
        if not issubclass(cls, Component) or cls.kind not in KINDS:
            raise TypeError(
                f"{given!r} is no component: give a class derived from metricreg.Loss, Reducer, Distance, Regularizer, "
                "Miner or Match, an instance of one, or (class, parameters)"
            )
        if parameters and not isinstance(given, type):
            raise TypeError(f"{cls.__name__} is given as an instance, which has its parameters; leave those out")
        self.cls, self.kind = cls, cls.kind
        self.parameters = dict(parameters or {})
        self._instance = None if isinstance(given, type) else given
        self._name = name
        self.outcomes: dict[str, Any] = {}  # of the checks that were made

    @property
    def is_instance(self) -> bool:
        """Whether an instance was given, and not a class."""
        return self._instance is not None

    def __repr__(self) -> str:
        if self._name is not None:
            return self._name
        given = self.parameters
        if self._instance is not None:
            given = dict(vars(self._instance).get("_construction", (None, {}))[1])
        listed = ", ".join(f"{key}={cut(printable(_shown(value)), 40)}" for key, value in given.items())
        return f"{self.cls.__name__}({listed})" if given else self.cls.__name__

    # -- the component ------------------------------------------------------------------------------------------------

    @cached_property
    def registry(self) -> Registry:
        """What is installed, and this component and those in it under `local/` names, if they are in none."""
        found = Registry()
        found.add(*default_registry())
        classes = [self.cls, *(type(part) for part in components_in([self.parameters, self._instance]))]
        for number, cls in enumerate(dict.fromkeys(classes)):
            if found.name_of(cls.kind, cls) is None:
                found.add(Entry(cls.kind, f"{LOCAL_NAMESPACE}/kit_{number}", cls, IN_PROCESS))
        return found

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The parameters, with those that are required and not given."""
        missing = [p for p in parameters_of(self.cls).values() if p.name not in self.parameters]

        def is_taken(more: dict[str, Any]) -> bool:
            try:
                self.constructed(self.parameters | more)
            except KeyboardInterrupt:
                raise
            except BaseException:  # an __init__ may raise anything
                return False
            return True

        sampled = sample_arguments(missing, is_taken)
        larger = {p.name: _larger(sampled[p.name], p.hint) for p in missing if p.name in sampled}
        return self.parameters | (larger if is_taken(larger) else sampled)

    def constructed(self, arguments: Mapping[str, Any]) -> Any:
        """A new component of its class."""
        torch.manual_seed(0)
        return checked(self.cls, arguments, Resolution(self.registry, check=False)).construct()

    @cached_property
    def _template(self) -> Any:
        try:
            return copy.deepcopy(self._instance) if self._instance is not None else self.constructed(self.arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an __init__ may raise anything
            raise NoExampleError(f"it cannot be constructed: {said_by(error)}") from error

    def make(self, dtype: torch.dtype = torch.float64) -> Any:
        """A new component with the same parameters and state each time, in training mode unless given otherwise."""
        template = self._template
        if self._instance is not None:
            return copy.deepcopy(template).to(dtype)
        made = self.constructed(self.arguments)
        made.load_state_dict(template.state_dict(), strict=False)  # whatever it drew
        return made.to(dtype)

    # -- its inputs ---------------------------------------------------------------------------------------------------

    @cached_property
    def _found(self) -> tuple[Inputs | None, str]:
        """The first inputs that it takes, and what it said of the first that it does not."""
        self._template  # noqa: B018 - which says why it cannot be constructed
        first = ""
        with torch.no_grad():
            for inputs in candidates(self.make()):
                refusal = self._refusal_of(inputs)
                if refusal is None:
                    return inputs, first
                first = first or refusal
        return None, first

    def _refusal_of(self, inputs: Inputs) -> str | None:
        try:
            call(self.make(), inputs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a component may raise anything
            return said_by(error)
        return None

    @property
    def inputs(self) -> Inputs:
        """Inputs that it takes.

        Raises:
            NoExampleError: none was found.
        """
        found, _ = self._found
        if found is None:
            raise NoExampleError(NO_INPUTS)
        return found.copied()

    @property
    def refusal(self) -> str | None:
        """What it said of the first inputs that were tried, if it takes none of them."""
        found, first = self._found
        return None if found is not None else first


def _larger(value: Any, hint: Any) -> Any:
    """In the place of a number or a list that serves to show a hint, one that there is more to see of."""
    if type(value) is int and takes(hint, SOME):
        return SOME
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], int | float) and takes(hint, value * SOME):
        return value * SOME
    return value


def state_of(component: nn.Module) -> dict[str, Tensor]:
    """Copies of parameters and buffers, those that are not persistent too."""
    held = [*component.named_parameters(), *component.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in held}


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Component) else shown(value)
