"""A validator ends the process."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_validator_exits_half:Half"}
