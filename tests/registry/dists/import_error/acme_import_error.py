"""Needs what is not installed."""

import acme_is_not_installed  # noqa: F401
