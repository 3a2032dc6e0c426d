"""A plugin that prints when it is imported."""

import metricreg

print("hello from a plugin")


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "acme_chatty_half:Half"}
