"""A hook that does not exist."""

import metricreg


@metricreg.hookimpl
def metricreg_reducer():
    return {"half": "metricreg.reducers.sum:SumReducer"}
