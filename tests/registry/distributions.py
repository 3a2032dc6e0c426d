"""The small distributions under dists, loaded in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from metricreg.errors import PluginWarning
from metricreg.registry import Registry
from metricreg.registry.entry_points import load
from metricreg.registry.installed import Plugin, installed_plugins
from metricreg.registry.report import PluginReport
from metricreg.registry.selection import Selection

DISTS = Path(__file__).parent / "dists"


def plugins(*cases: str) -> list[Plugin]:
    """The plugins of distributions under dists, and metricreg's own."""
    own = [plugin for plugin in installed_plugins() if plugin.is_own]
    return installed_plugins([str(DISTS / case) for case in cases]) + own


def fill(registry: Registry, *cases: str) -> None:
    """Load these distributions as the environment says."""
    strict = os.environ.get("METRICREG_STRICT") == "1"
    load(registry, plugins(*cases), Selection.from_environment(), strict=strict)


def filled(monkeypatch: pytest.MonkeyPatch, *cases: str) -> tuple[Registry, list[str]]:
    """A registry with these distributions, and the warnings that loading them gave."""
    for case in cases:
        monkeypatch.syspath_prepend(str(DISTS / case))
    registry = Registry()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fill(registry, *cases)
    assert all(issubclass(w.category, PluginWarning) for w in caught)
    return registry, [str(w.message) for w in caught]


def report_of(registry: Registry, name: str) -> PluginReport:
    (report,) = [r for r in registry.reports if r.name == name]
    return report


def python(code: str, *cases: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(DISTS / case) for case in cases] + [os.environ.get("PYTHONPATH", "")])
    settings = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=settings, timeout=60)
