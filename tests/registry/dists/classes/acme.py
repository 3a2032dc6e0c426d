"""A plugin as the documentation shows it: one module, the class itself in the hook."""

from typing import Annotated

from pydantic import Field

import metricreg


class ClippedMean(metricreg.Reducer):
    """Mean of the losses, each counted at most as `cap`: robust to mislabelled samples."""

    def __init__(self, cap: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.cap = cap

    def statistics(self, term):
        return term.sum(term.values.clamp(max=self.cap)), term.count()

    def finalize(self, total, count):
        return total / count.clamp(min=1)


@metricreg.hookimpl
def metricreg_reducers():
    return {"clipped_mean": ClippedMean}
