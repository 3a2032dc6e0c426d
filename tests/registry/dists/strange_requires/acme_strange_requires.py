"""Requirements that cannot be read are no reason to refuse it."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
