"""`python -m metricreg.cli`: the command line."""

from metricreg.cli import run

run()
