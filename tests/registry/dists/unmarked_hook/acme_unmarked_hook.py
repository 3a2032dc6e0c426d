"""A hook that is not marked, beside a good one."""

import metricreg


def metricreg_distances():
    return {"half": "metricreg.distances.lp:LpDistance"}


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
