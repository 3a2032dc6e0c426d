"""One plugin in a process of its own: how long it takes to load, and whether torch is imported by that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass

from metricreg.registry import default_registry
from metricreg.registry.entry_points import load, plugin_reports
from metricreg.registry.installed import installed_plugins

MARK = "metricreg.doctor.alone: "
TIME_LIMIT = 60.0


@dataclass(frozen=True)
class Alone:
    """What loading a plugin takes, where nothing else is loaded.

    Args:
        seconds: of importing it and calling its hooks.
        imports_torch: whether torch is imported then; every command that looks at names has to wait for it.
    """

    seconds: float
    imports_torch: bool


def load_alone(name: str, distribution: str) -> Alone | None:
    """Load an installed plugin in a process of its own; None if that process does not say."""
    code = f"from metricreg.doctor.alone import main; main({name!r}, {distribution!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=TIME_LIMIT,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    return Alone(**json.loads(lines[-1].removeprefix(MARK))) if lines else None


def main(name: str, distribution: str) -> None:
    """What runs in that process."""
    found = [plugin for plugin in installed_plugins() if (plugin.name, plugin.distribution) == (name, distribution)]
    default_registry().loader = lambda registry: load(registry, found)  # which the plugin itself may look at
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = sum(report.seconds for report in plugin_reports())
    alone = {"seconds": seconds, "imports_torch": "torch" in sys.modules}
    print(f"\n{MARK}{json.dumps(alone)}", flush=True)
