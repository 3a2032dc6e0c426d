"""Its METADATA is a folder."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
