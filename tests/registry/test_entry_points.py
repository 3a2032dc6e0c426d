"""Loading plugins: whatever one does, it is reported once, and everything else works."""

from __future__ import annotations

import json
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import metricreg
from metricreg.errors import PluginError, PluginWarning, RegistrationError, SpecError
from metricreg.registry import Registry, default_registry
from metricreg.registry.entry_points import load, plugin_reports
from metricreg.registry.installed import installed_plugins
from metricreg.registry.report import require_plugins
from tests.registry.distributions import DISTS, fill, filled, plugins, python, report_of

OWN = next(r.components for r in plugin_reports() if r.name == "metricreg")

# -- plugins that work ------------------------------------------------------------------------------------------------


def test_a_class_in_a_hook_is_registered_under_the_entry_points_name(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "classes")
    assert not warned
    report = report_of(registry, "acme")
    assert (report.status, report.distribution, report.version) == ("active", "acme", "1.2")
    assert report.components == ("reducer acme/clipped_mean",)
    assert report.problem is None
    assert report.seconds > 0
    spec = {"version": 1, "loss": {"name": "contrastive", "reducer": {"name": "acme/clipped_mean", "cap": 0.5}}}
    assert metricreg.build(spec, registry=registry).to_spec(registry=registry) == spec


def test_a_string_in_a_hook_is_imported_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "strings")
    assert not warned
    assert "lazy/half" in registry.names("reducer")
    assert registry.entry("reducer", "lazy/half").path == "acme_lazy_half:Half"
    assert "acme_lazy" in sys.modules
    assert "acme_lazy_half" not in sys.modules
    assert registry.get("reducer", "lazy/half").__name__ == "Half"
    assert "acme_lazy_half" in sys.modules


def test_plugins_are_loaded_after_metricregs_own_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, "strings", "classes")
    assert [r.name for r in registry.reports] == ["metricreg", "acme", "lazy"]
    assert registry.reports[0].components == OWN
    names = registry.names("reducer")
    assert names[-2:] == ("acme/clipped_mean", "lazy/half")
    assert all("/" not in name for name in names[:-2])


def test_requirements_that_cannot_be_read_or_do_not_apply_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "strange_requires")
    assert not warned
    assert report_of(registry, "strange_requires").status == "active"


def test_twenty_thousand_components_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    made = types.ModuleType("acme_many")
    made.__dict__.update({f"C{i}": metricreg.reducers.SumReducer for i in range(20_000)})
    monkeypatch.setitem(sys.modules, "acme_many", made)

    class Many:
        @metricreg.hookimpl
        def metricreg_reducers(self):  # type: ignore[no-untyped-def]
            return {f"c{i}": f"acme_many:C{i}" for i in range(20_000)}

    assert len(Registry.from_plugins({"many": Many()}).names("reducer")) > 20_000


class _Raising:
    """Raises wherever it is touched."""

    def __getattr__(self, name: str) -> object:
        raise SystemExit(name)

    def __dir__(self) -> list[str]:
        raise SystemExit("dir")

    def __repr__(self) -> str:
        raise SystemExit("repr")


class _Mapping(Mapping[str, object]):
    """Raises when it is looked into."""

    def __getitem__(self, key: str) -> object:
        raise SystemExit(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["half"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_Mapping(), "metricreg_reducers raised SystemExit: half"),
        ({"half": _Raising()}, "SystemExit: repr"),
        ({3: "a:b"}, "names a component 3"),
        ({"x" * 101: "a:b"}, "of at most 100 characters"),
        ({"half": "a" * 10**6}, "expected 'package.module:Class'"),
        ({"half": lambda: 1}, "expected a class or 'package.module:Class'"),
        ({}, "it registers nothing"),
    ],
)
def test_whatever_a_hook_answers_is_reported(answer: object, says: str) -> None:
    class Plugin:
        @metricreg.hookimpl
        def metricreg_reducers(self) -> object:
            return answer

    with pytest.raises(PluginError) as caught:
        Registry.from_plugins({"acme": Plugin()})
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_whatever_an_object_does_when_it_is_looked_at_is_reported() -> None:
    with pytest.raises(PluginError, match="SystemExit: "):
        Registry.from_plugins({"acme": _Raising()})


# -- plugins that do not -----------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[str, str]] = {
    "import_error": ("error", "ModuleNotFoundError: No module named 'acme_is_not_installed'"),
    "system_exit": ("error", "SystemExit: 3"),
    "raising_hook": ("error", "ZeroDivisionError: the licence server is down"),
    "misspelt_hook": (
        "error",
        "metricreg_reducer is no hook; the hooks are metricreg_distances, metricreg_losses, metricreg_reducers",
    ),
    "list_hook": ("error", "metricreg_reducers returned list; expected a mapping"),
    "bad_name": ("error", "'Half-Sum'"),
    "bad_target": ("error", "'os.system(1)'; expected 'package.module:Class'"),
    "number_target": ("error", "maps 'half' to 3"),
    "no_component": ("error", "not a metricreg component"),
    "no_hook": ("error", "metricreg_reducers is not marked with @metricreg.hookimpl, and so is no hook (at "),
    "unmarked_hook": ("error", "metricreg_distances is not marked with @metricreg.hookimpl, and so is no hook (at "),
    "none_hook": ("error", "metricreg_distances returned None, perhaps for want of a return"),
    "import_key_error": ("error", "KeyError: 'b' (at "),
    "hook_key_error": ("error", "metricreg_losses raised KeyError: 'b' (at "),
    "str_raises": ("error", "Unspeakable: (its text cannot be made) (at "),
    "huge_message": ("error", "RuntimeError: xxx"),
    "escapes": ("error", r"RuntimeError: \x1b[2J\x1b]0;owned\x07\r\u202eover (at "),
    "recursion": ("error", "RecursionError: maximum recursion depth exceeded"),
    "removes_itself": ("error", "KeyError: 'acme_removes_itself'"),
    "no_module": ("error", "ModuleNotFoundError: No module named 'acme_no_module'"),
    "too_old": ("incompatible", "it requires metricreg<0.0.1, and metricreg"),
    "wrong_kind": ("error", "acme_wrong_kind.Half is a reducer, not a loss"),
    "abstract": ("error", "does not implement matrix"),
    "undeclarable": ("error", "parameter 'factor' has no type hint"),
    "too_new": ("incompatible", "it requires metricreg>=99, and metricreg"),
    "damaged_metadata": ("error", "its metadata cannot be read: UnicodeDecodeError"),
    "bad_namespace": ("error", "'Bad.Name' is no namespace"),
}
NAMES = {"damaged_metadata": "damaged", "bad_namespace": "Bad.Name"}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_left_out_with_one_warning_and_all_else_works(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, cause = BROKEN[case]
    registry, warned = filled(monkeypatch, case, "classes", "strings")
    report = report_of(registry, NAMES.get(case, case))
    assert report.status == status
    assert report.components == ()
    assert report.problem is not None
    assert cause in report.problem
    assert len(warned) == 1
    assert report.name in warned[0]
    assert cause in warned[0]
    assert f"{report.distribution} 1.0" in warned[0]
    assert len(warned[0]) < 1500
    assert warned[0].isprintable()
    assert {r.name: r.status for r in registry.reports if r is not report} == dict.fromkeys(
        ("metricreg", "acme", "lazy"), "active"
    )
    assert not [entry for entry in registry if entry.name.startswith(report.name + "/")]
    assert status == "error" or f"acme_{case}" not in sys.modules
    assert not metricreg.validate({"loss": {"name": "ntxent", "reducer": "acme/clipped_mean"}}, registry=registry)


@pytest.mark.parametrize("case", BROKEN)
def test_a_spec_that_names_a_left_out_plugin_says_why_it_was(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, case)
    report = report_of(registry, NAMES.get(case, case))
    spec = {"loss": {"name": "contrastive", "reducer": f"{report.name}/half"}}
    (problem,) = metricreg.validate(spec, registry=registry)
    assert problem.pointer == "/loss/reducer"
    assert BROKEN[case][1] in problem.message
    with pytest.raises(SpecError) as caught:
        metricreg.build(spec, registry=registry)
    assert caught.value.__cause__ is report.exception
    with pytest.raises(SpecError) as direct:
        registry.get("reducer", f"{report.name}/half")
    assert direct.value.__cause__ is report.exception


@pytest.mark.parametrize("case", BROKEN)
def test_strict_raises_at_once_and_keeps_raising(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_STRICT", "1")
    for name in (case, "classes"):
        monkeypatch.syspath_prepend(str(DISTS / name))
    registry = Registry(loader=lambda r: fill(r, case, "classes"))
    for _ in range(2):
        with pytest.raises(PluginError, match=NAMES.get(case, case)):
            registry.names("reducer")
    assert report_of(registry, "acme").status == "active"


def test_build_strict_raises_for_any_plugin_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, "import_error", "classes")
    assert metricreg.build({"loss": "contrastive"}, registry=registry)
    with pytest.raises(PluginError, match="acme_is_not_installed") as caught:
        metricreg.build({"loss": "contrastive"}, registry=registry, strict=True)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    good, _ = filled(monkeypatch, "classes")
    require_plugins(good)
    assert metricreg.build({"loss": "contrastive"}, registry=good, strict=True)


def test_a_keyboard_interrupt_passes_and_the_next_look_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DISTS / "interrupt"))
    registry = Registry(loader=lambda r: fill(r, "interrupt"))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            registry.names("loss")


@pytest.mark.parametrize("case", ["wrapper", "old_wrapper"])
def test_a_wrapping_hook_reaches_nobody_elses_components(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = filled(monkeypatch, "classes", "strings")
    registry, _ = filled(monkeypatch, case, "classes", "strings")
    others = {(e.kind, e.name): e.path for e in registry if not e.name.startswith(case)}
    assert others == {(e.kind, e.name): e.path for e in plain}
    assert registry.entry("reducer", "mean").path == "metricreg.reducers.mean:MeanReducer"
    assert registry.entry("distance", "lp").distribution == "metricreg"


def test_two_distributions_with_one_namespace_are_both_in_conflict_until_one_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry, warned = filled(monkeypatch, "rival_a", "rival_b")
    rivals = [r for r in registry.reports if r.name == "rival"]
    assert [(r.status, r.distribution) for r in rivals] == [("conflict", "acme-rival-a"), ("conflict", "acme-rival-b")]
    assert "acme-rival-b 1.0" in str(rivals[0].problem)
    assert "METRICREG_BLOCK=dist:acme-rival-a" in str(rivals[1].mend)
    assert len(warned) == 2
    assert not {"acme_rival_a", "acme_rival_b"} & set(sys.modules)
    (problem,) = metricreg.validate({"loss": {"name": "ntxent", "reducer": "rival/half"}}, registry=registry)
    assert "conflict" in problem.message
    monkeypatch.setenv("METRICREG_BLOCK", "dist:Acme_Rival.A")
    registry, warned = filled(monkeypatch, "rival_a", "rival_b")
    assert not warned
    assert [r.status for r in registry.reports if r.name == "rival"] == ["blocked", "active"]
    assert registry.entry("reducer", "rival/half").distribution == "acme-rival-b"


@pytest.mark.parametrize("name", ["metricreg", "local"])
def test_metricregs_namespaces_cannot_be_claimed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "reserved")
    (report,) = [r for r in registry.reports if r.name == name and r.distribution == "acme-reserved"]
    assert report.status == "error"
    assert "reserved" in str(report.problem)
    assert len(warned) == 2
    assert "acme_reserved" not in sys.modules
    assert registry.entry("reducer", "mean").distribution == "metricreg"
    assert not metricreg.validate({"loss": "contrastive"}, registry=registry)


@pytest.mark.parametrize(
    ("running", "needs", "fits"),
    [
        ("1.2.0.dev3", ">=1.2", True),
        ("1.2.0.dev3", "<1.2", False),
        ("1.2.0.dev3+local", ">=1.3", False),
        ("1.2.0rc1", ">=1.2", False),
        ("1.2.0", "==1.2.*", True),
        ("1.2.0", "!=1.2.0", False),
    ],
)
def test_a_development_version_counts_as_its_base_too(
    running: str, needs: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "acme_asks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: acme-asks\nVersion: 1\nRequires-Dist: metricreg{needs}\n"
    )
    (info / "entry_points.txt").write_text("[metricreg]\nasks = acme_lazy\n")
    monkeypatch.syspath_prepend(str(DISTS / "strings"))
    monkeypatch.setattr("metricreg.registry.installed._own_version", lambda: running)
    registry = Registry()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        load(registry, installed_plugins([str(tmp_path)]))
    assert report_of(registry, "asks").status == ("active" if fits else "incompatible")


def test_a_distribution_without_metadata_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, warned = filled(monkeypatch, "nameless")
    assert not warned
    report = report_of(registry, "nameless")
    assert (report.status, report.version) == ("active", "(unknown version)")


@pytest.mark.parametrize("word", ["acme", "dist:acme", "dist:ACME", " lazy, acme ,,"])
def test_blocked_plugins_are_not_imported(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_BLOCK", word)
    monkeypatch.setenv("METRICREG_STRICT", "1")  # blocking is no failure
    registry, warned = filled(monkeypatch, "classes", "strings")
    assert not warned
    assert report_of(registry, "acme").status == "blocked"
    assert "acme" not in sys.modules
    (problem,) = metricreg.validate({"loss": {"name": "ntxent", "reducer": "acme/clipped_mean"}}, registry=registry)
    assert "blocked by METRICREG_BLOCK" in problem.message
    assert metricreg.build({"loss": "contrastive"}, registry=registry, strict=True)


def test_blocking_metricreg_itself_empties_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_BLOCK", "metricreg")
    registry, _ = filled(monkeypatch, "strings")
    assert [entry.name for entry in registry] == ["lazy/half"]
    (problem,) = metricreg.validate({"loss": "contrastive"}, registry=registry)
    assert "blocked by METRICREG_BLOCK" in problem.message


LAZILY_BROKEN = {
    "no_module": "No module named 'acme_nowhere'",
    "no_class": "has no attribute 'Half'",
    "no_type": "is int, not a class",
    "no_component": "not a metricreg component",
    "wrong_kind": "LpDistance is a distance, not a reducer",
    "exits": "SystemExit: no licence",
}


@pytest.mark.parametrize("name", LAZILY_BROKEN)
def test_a_component_that_cannot_be_imported_is_found_when_it_is_first_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, (warned,) = filled(monkeypatch, "lazily_broken")
    assert report_of(registry, "lazily_broken").status == "active"
    assert (f"'lazily_broken/{name}' is not there" in warned) == (name in ("no_module", "no_class"))
    full = f"lazily_broken/{name}"
    assert full in registry.names("reducer")
    for _ in range(2):
        with pytest.raises(RegistrationError, match=full if name != "wrong_kind" else "LpDistance") as caught:
            registry.get("reducer", full)
        assert LAZILY_BROKEN[name] in str(caught.value)
    (problem,) = metricreg.validate({"loss": {"name": "ntxent", "reducer": full}}, registry=registry)
    assert problem.pointer == "/loss/reducer"
    assert LAZILY_BROKEN[name] in problem.message
    with pytest.raises(SpecError) as refused:
        metricreg.build({"loss": {"name": "ntxent", "reducer": full}}, registry=registry)
    assert isinstance(refused.value.__cause__, RegistrationError)
    assert metricreg.build({"loss": {"name": "ntxent", "reducer": "lazily_broken/fine"}}, registry=registry)
    definitions = metricreg.json_schema(registry)["$defs"]
    assert "reducer.lazily_broken.fine" in definitions
    assert f"reducer.lazily_broken.{name}" not in definitions


def test_loading_twice_reports_the_second_time_and_registers_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, _ = filled(monkeypatch, "strings")
    entries = list(registry)
    with pytest.warns(PluginWarning, match="registered twice"):
        load(registry, [p for p in plugins("strings") if p.name == "lazy"])
    assert list(registry) == entries


# -- in a process of its own -------------------------------------------------------------------------------------------


@pytest.mark.without_broken_plugins
def test_installed_plugins_are_found_without_torch_and_broken_ones_warned_about_once() -> None:
    code = """
import json, sys
import metricreg
registry = metricreg.default_registry()
registry.names("loss"), registry.names("reducer")
reports = {r.name: r.status for r in metricreg.plugin_reports()}
print(json.dumps([reports, "lazy/half" in registry.names("reducer"), "torch" in sys.modules]))
"""
    done = python(code, "strings", "import_error", "raising_hook")
    reports, found, torch_imported = json.loads(done.stdout)
    assert reports.items() >= {"metricreg": "active", "lazy": "active"}.items()
    assert (reports["import_error"], reports["raising_hook"]) == ("error", "error")
    assert found
    assert not torch_imported
    assert done.stderr.count("PluginWarning") == 2
    assert done.stderr.count("acme_is_not_installed") == 1


@pytest.mark.without_broken_plugins
def test_strict_in_the_environment_ends_a_program_that_looks_at_the_registry() -> None:
    code = "import metricreg; print('imported'); metricreg.default_registry().names('loss')"
    done = python(code, "import_error", METRICREG_STRICT="1")
    assert done.stdout == "imported\n"
    assert done.returncode == 1
    assert "PluginError: plugin 'import_error' of acme-import-error 1.0 is left out" in done.stderr


@pytest.mark.without_broken_plugins
def test_entry_points_that_cannot_be_read_cost_only_themselves() -> None:
    code = """
import json
import metricreg
print(json.dumps([[r.name, r.status] for r in metricreg.plugin_reports()]))
"""
    done = python(code, "damaged_entry_points", "strings")
    reports = dict(json.loads(done.stdout))
    assert reports.items() >= {"metricreg": "active", "lazy": "active"}.items()
    assert done.stderr.count("PluginWarning") == 1
    assert "acme_no_points 1.0 is left out (error): its entry points cannot be read: UnicodeDecodeError" in done.stderr


@pytest.mark.skipif("robust" not in [r.name for r in plugin_reports()], reason="metricreg-robust is not installed")
def test_an_installed_plugin_works_from_json() -> None:
    spec = {"version": 1, "loss": {"name": "contrastive", "reducer": {"name": "robust/clipped_mean", "cap": 2.0}}}
    assert metricreg.build(spec).to_spec() == spec


def test_the_default_registrys_reports_are_the_ones_that_are_shown() -> None:
    assert plugin_reports() == default_registry().reports
    assert plugin_reports(Registry()) == ()
