"""What losses made of losses share."""

from __future__ import annotations

from typing import Any

from metricreg.components import Distance, Loss, Reducer
from metricreg.distances import LpDistance
from metricreg.reducers import MeanReducer


class MadeOfLosses(Loss):
    """A loss that evaluates others, each with its own distance, reducer and penalties, and has none itself."""

    @classmethod
    def default_distance(cls) -> Distance:
        """Never used."""
        return LpDistance()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """Never used."""
        return MeanReducer()

    def effective_arguments(self) -> dict[str, Any]:
        """Nothing: its distance and reducer are never used."""
        return {}
