"""`__init__` raises what no rule does."""

import metricreg


class Half(metricreg.Reducer):
    """Half the sum."""

    def __init__(self) -> None:
        super().__init__()
        {}["margin"]

    def reduce(self, term):
        return term.sum() / 2
