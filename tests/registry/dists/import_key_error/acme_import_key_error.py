"""A KeyError, of which the message says little."""

TABLE = {"a": 1}


def look(key):
    return TABLE[key]


look("b")
