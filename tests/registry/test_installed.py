"""What is installed: each distribution once, and none hidden without a word."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from metricreg.registry.installed import installed_plugins
from tests.registry.distributions import DISTS, filled, python, report_of


def test_a_doubled_line_and_an_old_record_beside_the_new_one_are_one_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "doubled")
    assert not warned
    assert report_of(registry, "doubled").version == "1.0"


def test_a_distribution_on_two_entries_of_the_path_is_one(tmp_path: Path) -> None:
    older = tmp_path / "acme-0.9.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme\nVersion: 0.9\n")
    (older / "entry_points.txt").write_text("[metricreg]\nacme = acme\nold = acme_old\n")
    classes = str(DISTS / "classes")
    assert [p.version for p in installed_plugins([classes, classes, str(tmp_path)])] == ["1.2"]
    assert {p.version for p in installed_plugins([str(tmp_path), classes])} == {"0.9"}


def test_an_empty_record_before_a_plugin_hides_it_no_more_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(DISTS / case) for case in ("stale_empty", "stale")]
    (plugin,) = installed_plugins(paths)
    assert plugin.name == "stale"
    assert "an empty record of acme-stale at " in plugin.warnings[0]
    assert plugin.mend == f"remove {DISTS / 'stale_empty' / 'acme_stale-0.9.dist-info'}"
    assert installed_plugins(paths[::-1])[0].warnings == ()


def test_one_distribution_that_claims_a_namespace_twice_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, "twice")
    reports = [r for r in registry.reports if r.name == "twice"]
    assert {r.status for r in reports} == {"conflict"}
    assert "claims the namespace 'twice' twice, as acme_twice and acme_twice:other" in str(reports[0])
    assert "METRICREG_BLOCK" not in str(reports[0])


@pytest.mark.parametrize("case", ["extras", "folder_metadata"])
def test_odd_metadata_are_no_obstacle(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, case)
    assert not warned
    assert report_of(registry, case).status == "active"


def test_a_requirement_that_is_not_met_says_which_command_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, "too_new", "too_old")
    assert report_of(registry, "too_new").mend == "pip install -U 'metricreg>=99'"
    assert report_of(registry, "too_old").mend == "pip install -U acme-too-old"


def test_entry_points_of_something_else_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_bytes(b"[console_scripts]\n\xff\n")
    assert installed_plugins([str(tmp_path)]) == []
    (info / "entry_points.txt").write_bytes(b"[metricreg]\n\xff\n")
    (plugin,) = installed_plugins([str(tmp_path)])
    assert (plugin.distribution, plugin.version) == ("other", "1.0")
    assert "UnicodeDecodeError" in str(plugin.problem)


def wheel(case: str, folder: Path) -> Path:
    """A distribution under dists as a wheel."""
    (info,) = (DISTS / case).glob("*.dist-info")
    path = folder / f"{info.name.removesuffix('.dist-info')}-py3-none-any.whl"
    tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (file for file in (DISTS / case).rglob("*") if file.is_file() and file.suffix != ".pyc"):
            archive.write(file, file.relative_to(DISTS / case).as_posix())
        archive.writestr(f"{info.name}/WHEEL", tags)
    return path


@pytest.mark.without_broken_plugins
def test_what_pip_installs_and_upgrades_is_found(tmp_path: Path) -> None:
    target = tmp_path / "site"
    cases = ("strings", "import_error", "raising_hook", "lazily_broken")
    install = ["install", "-q", "--no-index", "--no-deps", "--no-compile", "--target", str(target)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *install]
    if subprocess.run([*pip[:3], "--version"], capture_output=True).returncode:
        pytest.skip("pip is not installed")
    wheels = [str(wheel(case, tmp_path)) for case in cases]
    subprocess.run([*pip, *wheels], check=True, timeout=120, capture_output=True)
    code = f"""
import sys, metricreg
sys.path.insert(0, {str(target)!r})
print(*sorted(f"{{r.name}}={{r.status}}" for r in metricreg.plugin_reports() if r.distribution.startswith("acme")))
print(metricreg.default_registry().get("reducer", "lazy/half").__name__)
"""
    done = python(code)
    assert done.stdout.splitlines() == [
        "import_error=error lazily_broken=active lazy=active raising_hook=error",
        "Half",
    ]
