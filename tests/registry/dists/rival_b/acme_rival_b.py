"""Claims the namespace `rival` too."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_lazy_half:Half"}
