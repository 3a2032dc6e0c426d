"""A reducer among the losses."""

import metricreg


class Half(metricreg.Reducer):
    """The sum."""

    def __init__(self):
        super().__init__()

    def statistics(self, term):
        return (term.sum(),)

    def finalize(self, total):
        return total


@metricreg.hookimpl
def metricreg_losses():
    return {"half": Half}
