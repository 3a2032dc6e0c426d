"""A distance without `matrix`."""

import metricreg


class Half(metricreg.Distance):
    """No distance."""

    def __init__(self):
        super().__init__()


@metricreg.hookimpl
def metricreg_distances():
    return {"half": Half}
