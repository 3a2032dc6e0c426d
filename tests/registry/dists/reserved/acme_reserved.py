"""Claims the namespaces that are metricreg's."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"mean": "metricreg.reducers.sum:SumReducer"}
