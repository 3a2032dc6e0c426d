"""A plugin that prints when it is imported."""

import metricreg

print("hello from a plugin")


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
