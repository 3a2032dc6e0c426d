"""`__init__` raises what cannot be shown."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_init_unspeakable_half:Half"}
