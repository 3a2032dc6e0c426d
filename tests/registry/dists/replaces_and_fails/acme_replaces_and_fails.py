"""The same, and then it fails."""

import metricreg
from metricreg.registry import Entry

metricreg.default_registry().add(
    Entry("reducer", "mean", "metricreg.reducers.sum:SumReducer", "acme-replaces-and-fails"), replace=True
)
raise KeyError("the end")
