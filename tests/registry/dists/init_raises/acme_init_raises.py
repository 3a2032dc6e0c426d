"""`__init__` raises what no rule does."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_init_raises_half:Half"}
