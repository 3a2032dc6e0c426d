"""Do-nothing reducer."""

from __future__ import annotations

from metricreg.batch.terms import Term
from metricreg.components import Reducer


class DoNothingReducer(Reducer):
    """Leaves the terms as they are: the loss returns a mapping of terms instead of a scalar, from the dense plan."""

    def __init__(self) -> None:
        super().__init__()

    def reduce(self, term: Term) -> Term:
        """The term itself."""
        return term
