"""An entry of the registry: a component's kind, its name, and the class that they stand for."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from metricreg.errors import RegistrationError, SpecError, cut, said, said_by

KINDS = ("distance", "loss", "reducer", "regularizer", "miner", "match")
OWN_DISTRIBUTION = "metricreg"
LOCAL_NAMESPACE = "local"
IN_PROCESS = "this process"
"""What stands for the distribution of a component that none ships."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
NAMESPACE = re.compile(r"[a-z][a-z0-9_-]*")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Entry:
    """A registered component: a class, or the `"package.module:Class"` where it is defined."""

    kind: str
    name: str
    target: type | str
    distribution: str

    @property
    def path(self) -> str:
        """The defining module and class, as `package.module:Class`."""
        return self.target if isinstance(self.target, str) else import_path(self.target)


def import_path(cls: type) -> str:
    """`package.module:Class` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def check_class(kind: str, cls: type, subject: str) -> None:
    """Refuse a class that is no component, or cannot be one of this kind.

    Args:
        kind: which it is to be.
        cls: the class.
        subject: who says so, for the error: `metricreg_losses maps 'mine' to`.
    """
    check = getattr(cls, "check_declaration", None)
    if check is None:
        raise RegistrationError(f"{subject} {said(import_path(cls))}, which is not a metricreg component")
    try:
        check(kind)
    except (KeyboardInterrupt, RegistrationError):
        raise
    except BaseException as error:  # hints, defaults and validators are the plugin's code
        why = f"which cannot be declared: {said_by(error)}"
        raise RegistrationError(f"{subject} {said(import_path(cls))}, {why}") from error


def check_kind(kind: str) -> None:
    """Refuse anything but one of the kinds."""
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, 1, 0.6)
        meant = f"; did you mean '{close[0]}'?" if close else ""
        raise SpecError(f"unknown kind '{cut(kind)}'; the kinds are {', '.join(KINDS)}{meant}", "")
