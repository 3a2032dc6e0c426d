"""One value an anchor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer
from metricreg.reducers.mean import MeanReducer


class PerAnchorReducer(Reducer):
    r"""Turns the values of each anchor into one, then reduces those.

    $$\operatorname{reduce}_a \left( \frac{1}{n_a} \sum_{i=1}^{n_a} \ell_{a,i} \right)$$

    An anchor without values counts as 0. Where each anchor has one positive, `ntxent` with it is `supcon` with the
    mean; with several, `supcon` has the other positives in its denominators, and `ntxent` has not.

    Args:
        reducer: how the anchors' values become one; mean if None.
        aggregation: how the values of one anchor become one: their mean or their sum.
    """

    def __init__(self, reducer: Reducer | None = None, aggregation: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.reducer = MeanReducer() if reducer is None else reducer
        self.aggregation = aggregation

    @property
    def additive(self) -> bool:
        """Whether the inner reducer is."""
        return self.reducer.additive

    def for_term(self, name: str) -> Reducer:
        """Itself, with the inner reducer's choice for the term inside."""
        inner = self.reducer.for_term(name)
        return self if inner is self.reducer else PerAnchorReducer(inner, self.aggregation)

    def check_terms(self, names: Iterable[str]) -> None:
        """What the inner reducer refuses."""
        self.reducer.check_terms(names)

    def _aggregated(self, term: Term) -> Term:
        total, count = term.per_anchor()
        values = total / count.clamp(min=1) if self.aggregation == "mean" else total
        return Term(values, divisor=term.divisor).bind(term.name, term.anchors, term.labels)

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """The inner reducer's statistics of one value an anchor."""
        return self.reducer.statistics(self._aggregated(term))

    def finalize(self, *statistics: Tensor) -> Tensor:
        """What the inner reducer makes of them."""
        return self.reducer.finalize(*statistics)

    def reduce(self, term: Term) -> Any:
        """What the inner reducer makes of one value an anchor."""
        return self.reducer.reduce(self._aggregated(term))

    def effective_arguments(self) -> dict[str, Any]:
        """The inner reducer in use."""
        return {"reducer": self.reducer}
