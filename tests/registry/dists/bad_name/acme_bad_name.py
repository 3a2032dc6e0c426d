"""One good name and one that a spec cannot say."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"fine": "metricreg.reducers.sum:SumReducer", "Half-Sum": "acme_lazy_half:Half"}
