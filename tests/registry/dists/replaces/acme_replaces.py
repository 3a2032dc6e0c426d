"""Puts a class of its own in the place of what others register."""

import metricreg
from metricreg.registry import Entry

metricreg.default_registry().add(
    Entry("reducer", "mean", "metricreg.reducers.sum:SumReducer", "acme-replaces"),
    Entry("reducer", "metricreg_sum", "metricreg.reducers.sum:SumReducer", "acme-replaces"),
    replace=True,
)


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
