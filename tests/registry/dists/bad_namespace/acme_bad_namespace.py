"""An entry point that is no namespace."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_lazy_half:Half"}
