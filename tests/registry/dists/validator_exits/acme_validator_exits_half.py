"""A validator ends the process."""

import sys
from typing import Annotated

from pydantic import AfterValidator

import metricreg


class Half(metricreg.Reducer):
    """Half the sum."""

    def __init__(self, factor: Annotated[float, AfterValidator(sys.exit)]) -> None:
        super().__init__()
        self.factor = factor

    def reduce(self, term):
        return term.sum() / 2
