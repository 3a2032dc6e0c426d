"""Which name stands for which class: hooks, entry points and the registry they fill.

Ask it for the names of a kind, for the class behind one, and for a report about each plugin. A class is imported when
it is first asked for, so that listing components needs no torch. It must not know a component, nor what one is: it asks
a class that is registered to check its own declaration.
"""

from metricreg.registry.entry import IN_PROCESS, KINDS, LOCAL_NAMESPACE, NAME, OWN_DISTRIBUTION, Entry, import_path
from metricreg.registry.registry import Registry, default_registry

__all__ = [
    "IN_PROCESS",
    "KINDS",
    "LOCAL_NAMESPACE",
    "NAME",
    "OWN_DISTRIBUTION",
    "Entry",
    "Registry",
    "default_registry",
    "import_path",
]
