"""Writes to file descriptor 1, as a library in C does, and prints when the process ends."""

import atexit
import os

import metricreg

os.write(1, b"hello from file descriptor 1\n")
atexit.register(print, "goodbye from a plugin")
atexit.register(os.write, 1, b"goodbye from file descriptor 1\n")


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
