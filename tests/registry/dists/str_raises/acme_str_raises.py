"""An exception that cannot be shown."""


class Unspeakable(Exception):
    def __str__(self):
        raise SystemExit("not even this")

    __repr__ = __str__


raise Unspeakable
