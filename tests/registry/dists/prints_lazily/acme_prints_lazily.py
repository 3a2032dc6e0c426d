"""Prints when it is imported and when it is constructed, also to file descriptor 1."""

import metricreg


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_prints_lazily_half:Half"}
