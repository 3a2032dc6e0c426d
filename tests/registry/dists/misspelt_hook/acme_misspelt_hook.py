"""A hook that does not exist."""

import metricreg


@metricreg.hookimpl
def metricreg_reducer():
    return {"half": "acme_lazy_half:Half"}
