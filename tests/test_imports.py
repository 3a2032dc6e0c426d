"""What is imported when: `import metricreg` and looking at names need no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import metricreg",
        "import metricreg.registry.entry_points",
        "import metricreg.builtin",
        "import metricreg.registry; [metricreg.default_registry().names(k) for k in metricreg.registry.KINDS]",
        "import metricreg; assert metricreg.plugin_reports(); metricreg.hookimpl, metricreg.SpecError, dir(metricreg)",
        "import metricreg; list(metricreg.default_registry()); assert metricreg.__version__",
    ],
)
def test_no_torch_is_imported_by(code: str) -> None:
    modules = imported_by(code)
    assert "metricreg" in modules
    assert not modules & {"torch", "numpy", "pydantic", "lightning", "sklearn"}


def test_building_imports_only_the_components_that_the_spec_names() -> None:
    modules = imported_by("import metricreg; metricreg.build({'loss': 'ntxent'})")
    assert "metricreg.losses.ntxent" in modules
    assert not modules & {"lightning", "sklearn", "pandas", "matplotlib", "yaml", "metricreg.training", "metricreg.cli"}
