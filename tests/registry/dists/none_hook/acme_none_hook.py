"""A hook without a return, beside a good one."""

import metricreg


@metricreg.hookimpl
def metricreg_distances():
    {"half": "metricreg.distances.lp:LpDistance"}  # noqa: B018


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
