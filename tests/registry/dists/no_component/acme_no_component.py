"""A class that is no component."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": dict}
