"""A KeyError in a hook."""

import metricreg


@metricreg.hookimpl
def metricreg_losses():
    return {"half": {}["b"]}
