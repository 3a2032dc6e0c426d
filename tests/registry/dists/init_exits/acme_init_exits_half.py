"""`__init__` ends the process."""

import metricreg


class Half(metricreg.Reducer):
    """Half the sum."""

    def __init__(self) -> None:
        raise SystemExit("no licence")

    def reduce(self, term):
        return term.sum() / 2
