"""A reducer for each term."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import nn

from metricreg.batch.terms import Term
from metricreg.components import Reducer
from metricreg.components.validation_errors import nearest
from metricreg.errors import InputError
from metricreg.reducers.mean import MeanReducer


def modules_by_name(what: str, modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """A module that holds others by the names that a user gave.

    Raises:
        ValueError: a name that torch cannot give to a module.
    """
    for name in modules:
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"{what} cannot be named '{name}'; torch has another use for it. Choose another name")
    return nn.ModuleDict(modules)


class MultipleReducers(Reducer):
    """A reducer for each term of a loss, by the term's name.

    Args:
        reducers: *name of a term → reducer*. A name that the loss has no term for is an error.
        default: the reducer of all other terms; mean if None.
    """

    def __init__(self, reducers: dict[str, Reducer], default: Reducer | None = None) -> None:
        super().__init__()
        self.reducers = modules_by_name("a reducer", reducers)
        self.default = MeanReducer() if default is None else default

    @property
    def is_by_value(self) -> bool:
        """Whether all of them are."""
        return all(self.for_term(name).is_by_value for name in self.reducers) and self.default.is_by_value

    @property
    def reads_values(self) -> bool:
        """Whether one of them does."""
        return any(self.for_term(name).reads_values for name in self.reducers) or self.default.reads_values

    @property
    def additive(self) -> bool:
        """Whether all of them are."""
        return all(self.for_term(name).additive for name in self.reducers) and self.default.additive

    def for_term(self, name: str) -> Reducer:
        """The reducer given for the term, or the default."""
        found: Any = self.reducers[name] if name in self.reducers else self.default  # noqa: SIM401 - no get
        reducer: Reducer = found.for_term(name)
        return reducer

    def check_terms(self, names: Iterable[str]) -> None:
        """Refuse a reducer for a term that the loss does not have."""
        names = list(names)
        for name in self.reducers:
            if name not in names:
                raise InputError(
                    f"a reducer is given for the term '{name}', which this loss lacks; {nearest(name, names)}"
                )
        for name, reducer in self.reducers.items():
            cast(Reducer, reducer).check_terms([name])
        self.default.check_terms([name for name in names if name not in self.reducers])

    def reduce(self, term: Term) -> Any:
        """What the reducer of that term makes of it."""
        return self.for_term(term.name).reduce(term)

    def effective_arguments(self) -> dict[str, Any]:
        """The default in use."""
        return {"default": self.default}
