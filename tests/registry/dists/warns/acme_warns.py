"""Warns when it is imported."""

import warnings

import metricreg

warnings.warn("this plugin is old", DeprecationWarning, stacklevel=1)


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
