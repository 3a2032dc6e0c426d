"""A loss that is built, and raises in `terms` whatever the batch."""

from metricreg import hookimpl


@hookimpl
def metricreg_losses():
    return {"half": "acme_raises_in_terms_half:Half"}
