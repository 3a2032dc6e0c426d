"""What a new plugin is called."""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from importlib.util import find_spec

from packaging.utils import canonicalize_name

from metricreg.errors import SHOWN, InputError, said
from metricreg.registry import default_registry
from metricreg.registry.entry import DISTRIBUTION, LOCAL_NAMESPACE, NAMESPACE, OWN_DISTRIBUTION

OWN_FOLDERS = ("build", "dist", "tests")
"""What else stands in the folder of the project."""


@dataclass(frozen=True)
class Names:
    """What a plugin is called.

    Args:
        distribution: on PyPI: in small letters, with '-'.
    """

    distribution: str

    @property
    def namespace(self) -> str:
        """What its components' names begin with."""
        return self.distribution.removeprefix(f"{OWN_DISTRIBUTION}-")

    @property
    def package(self) -> str:
        """What is imported."""
        return self.distribution.replace("-", "_")


def names_of(given: str) -> Names:
    """The names of a plugin that is to be called so.

    Raises:
        InputError: no name of a distribution, or one of which the namespace or the package is no name, or is taken.
    """
    if not DISTRIBUTION.fullmatch(given):
        raise InputError(
            f"'{said(given, SHOWN)}' is no name of a distribution: it has letters, digits, '-', '_' and '.', and "
            "begins and ends with a letter or digit; for example metricreg-acme"
        )
    names = Names(canonicalize_name(given))
    problem = _problem_of(names)
    if problem is not None:
        raise InputError(f"a plugin cannot be called '{given}': {problem}. Choose another name, such as metricreg-acme")
    return names


def _problem_of(names: Names) -> str | None:
    namespace, package = names.namespace, names.package
    if not NAMESPACE.fullmatch(namespace):
        return f"its namespace would be '{namespace}', which has to begin with a letter"
    if namespace in (OWN_DISTRIBUTION, LOCAL_NAMESPACE):
        return f"the namespace '{namespace}' is reserved"
    for report in default_registry().reports:
        if report.name == namespace:
            return f"the namespace '{namespace}' is that of {said(report.distribution)}, which is installed"
    if keyword.iskeyword(package):
        return f"its package would be '{package}', which is a word of Python"
    if package in OWN_FOLDERS:
        return f"its package would be '{package}', which is a folder of every project"
    if find_spec(package) is not None:
        return f"its package would be '{package}', and there is one of that name"
    return None
