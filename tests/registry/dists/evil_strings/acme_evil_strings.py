"""Names, messages and documentation that a terminal takes for commands."""

import metricreg


class Half(metricreg.Reducer):
    """Half \x1b[2J the sum.

    Args:
        factor: \x1b[31m red.
    """

    def __init__(self, factor: str = "\x1b[2J") -> None:
        super().__init__()
        if factor != "\x1b[2J":
            raise ValueError("\x1b[2J" * 1000)

    def reduce(self, term):
        return term.sum()


Half.__qualname__ = "Half\x1b[2J"


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": Half}
