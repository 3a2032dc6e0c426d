"""Which name stands for which class: hooks, entry points and the registry they fill.

Ask it for the class of a component, and for reports about plugins. It imports neither torch nor a component:
a class is imported when it is first asked for.
"""

from metricreg.registry.registry import (
    KINDS,
    LOCAL_NAMESPACE,
    NAME,
    Entry,
    Registry,
    default_registry,
    import_path,
)

__all__ = ["KINDS", "LOCAL_NAMESPACE", "NAME", "Entry", "Registry", "default_registry", "import_path"]
