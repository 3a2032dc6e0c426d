"""Its METADATA is not UTF-8."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
