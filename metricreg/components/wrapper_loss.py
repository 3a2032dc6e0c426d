"""A loss made of losses."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.components.component import Component
from metricreg.components.loss import Loss, Terms
from metricreg.engine.execution import Execution
from metricreg.errors import MetricregError


class WrapperLoss(Loss):
    """A loss that evaluates others, each with its own distance, reducer and penalties, and has none itself.

    A subclass implements `evaluate`, and `all_terms`.
    """

    def __init__(self) -> None:
        Component.__init__(self)
        self.match = None

    def _look_for_pairs(self, batch: Batch) -> None:
        """Each loss inside does."""

    @abstractmethod
    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """The loss of a batch: each loss inside is called with `execution=execution`."""

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """Every term of the losses inside, unreduced; where a subclass says how they are named."""
        raise MetricregError(
            f"{type(self).__name__} is made of losses, and does not say their terms: implement all_terms"
        )

    def terms(self, batch: Batch) -> Terms:
        """Not asked for: each loss inside says its own."""
        raise NotImplementedError(f"{type(self).__name__} is made of losses; ask for all_terms")

    def effective_arguments(self) -> dict[str, Any]:
        """Nothing besides what was given."""
        return {}
