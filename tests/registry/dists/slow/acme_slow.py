"""Takes its time."""

import time

import metricreg

time.sleep(1.1)


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
