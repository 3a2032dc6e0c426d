"""Tries to replace what others register, in the old style."""

import metricreg


@metricreg.hookimpl(hookwrapper=True)
def metricreg_reducers():
    outcome = yield
    outcome.force_result([{"mean": "metricreg.reducers.sum:SumReducer"}])
