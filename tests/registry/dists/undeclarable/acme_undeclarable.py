"""A parameter without a hint."""

import metricreg


class Half(metricreg.Reducer):
    """The sum."""

    def __init__(self, factor=2.0):
        super().__init__()

    def statistics(self, term):
        return (term.sum(),)

    def finalize(self, total):
        return total


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": Half}
