"""Every test imports its plugins anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _modules_and_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test imports its plugins anew."""
    monkeypatch.delenv("METRICREG_BLOCK", raising=False)
    monkeypatch.delenv("METRICREG_ONLY", raising=False)
    monkeypatch.delenv("METRICREG_STRICT", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]
