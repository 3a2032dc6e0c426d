"""Its METADATA is empty."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
