"""What a plugin does to the process and to the registry is undone, and named; its warnings are no errors."""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import pytest

import metricreg
import metricreg.registry.registry
from metricreg.errors import PluginWarning, RegistrationError
from metricreg.registry import Entry, Registry
from metricreg.registry.entry_points import load
from metricreg.registry.isolation import SETTINGS, isolated, warn
from tests.registry.distributions import DISTS, fill, filled, plugins, report_of


def default(monkeypatch: pytest.MonkeyPatch, *cases: str) -> Registry:
    """The default registry, with these distributions beside metricreg's own."""
    for case in cases:
        monkeypatch.syspath_prepend(str(DISTS / case))
    registry = Registry(lambda each: fill(each, *cases))
    monkeypatch.setattr(metricreg.registry.registry, "_default", registry)
    return registry


def test_a_plugin_that_warns_works_where_warnings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DISTS / "warns"))
    registry = Registry()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.warns(DeprecationWarning, match="this plugin is old"):
            load(registry, plugins("warns"))
        with pytest.raises(UserWarning, match="still"):
            warnings.warn("still an error", UserWarning, stacklevel=1)
    assert report_of(registry, "warns").ok


@pytest.mark.parametrize("case", ["import_error", "raising_hook", "lazily_broken"])
def test_loading_does_not_raise_where_warnings_are_errors_and_runs_once(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DISTS / case))
    calls: list[str] = []

    def loader(registry: Registry) -> None:
        calls.append("")
        load(registry, plugins(case))

    registry = Registry(loader)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        for _ in range(3):
            assert "mean" in registry.names("reducer")
    assert [w.category for w in caught] == [PluginWarning]
    assert len(calls) == 1


def test_a_warning_is_shown_where_it_would_be_an_error_and_not_where_it_is_ignored() -> None:
    for action, count in (("error", 1), ("default", 1), ("ignore", 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)  # type: ignore[arg-type]
            warn("a plugin")
        assert len(caught) == count


def test_a_plugin_that_makes_errors_of_warnings_does_so_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before = list(warnings.filters)
        registry, (warned,) = filled(monkeypatch, "warnings_as_errors", "classes", "strings")
        assert warnings.filters == before
    assert "it changes what becomes of warnings" in warned
    assert all(report.status == "active" for report in registry.reports)


def test_what_a_plugin_changes_of_the_process_is_put_back_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> list[object]:
        return [os.getcwd(), locale.setlocale(locale.LC_ALL), sys.getrecursionlimit(), sys.excepthook, sys.stdout]

    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as in a background job
    before, handler = state(), signal.getsignal(signal.SIGINT)
    registry, (warned,) = filled(monkeypatch, "changes_settings")
    assert state() == before
    assert signal.signal(signal.SIGINT, inherited) is handler
    for name in ("the working directory", "the recursion limit", "the handler of SIGINT", "sys.excepthook"):
        assert name in warned
    assert report_of(registry, "changes_settings").status == "active"
    assert not report_of(registry, "changes_settings").ok


def test_the_default_dtype_of_torch_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    _, (warned,) = filled(monkeypatch, "changes_dtype")
    assert torch.get_default_dtype() is torch.float32
    assert "it changes the default dtype of torch when it is imported, which was put back" in warned


def test_every_setting_can_be_read_and_put_back() -> None:
    for read, write in SETTINGS.values():
        write(read())


def test_nothing_is_named_where_nothing_was_changed() -> None:
    changed: list[str] = []
    with isolated(changed):
        warnings.filterwarnings("ignore", message="numpy.dtype size changed")
    assert changed == []


@pytest.mark.parametrize("case", ["replaces", "replaces_and_fails"])
def test_what_a_plugin_replaces_in_the_registry_is_there_again_and_named(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = default(monkeypatch, case)
    with pytest.warns(PluginWarning, match=r"it changes reducer 'mean'.* in the registry itself, which was undone"):
        assert registry.get("reducer", "mean") is metricreg.reducers.MeanReducer
    assert registry.name_of("reducer", metricreg.reducers.MeanReducer) == "mean"
    assert "metricreg_sum" not in registry.names("reducer")
    assert report_of(registry, case).status == ("active" if case == "replaces" else "error")


@pytest.mark.parametrize("is_filled_before", [True, False])
@pytest.mark.parametrize("case", ["replaces", "replaces_and_fails"])
def test_a_plugin_of_another_registry_changes_nothing_in_the_default_one(
    case: str, is_filled_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_default = default(monkeypatch, "classes")
    before = [(e.kind, e.name, e.path) for e in Registry(lambda each: fill(each, "classes"))]
    if is_filled_before:
        by_default.names("reducer")
    other, warned = filled(monkeypatch, case)
    assert not is_filled_before or "it changes reducer 'mean'" in warned[0]
    assert report_of(other, case).status == ("active" if case == "replaces" else "error")
    assert [(e.kind, e.name, e.path) for e in by_default] == before
    assert by_default.get("reducer", "mean") is metricreg.reducers.MeanReducer
    assert [report.name for report in by_default.reports] == ["metricreg", "acme"]


def test_what_metricreg_register_adds_while_a_plugin_is_imported_stays_where_the_plugin_works() -> None:
    class Half(metricreg.Reducer):
        """Half."""

        def reduce(self, term):  # type: ignore[no-untyped-def]
            return term.sum() / 2

    registry = Registry()
    before = registry.snapshot()
    metricreg.register(Half, registry=registry)
    assert registry.undo(before, keep_local=True) == []
    assert registry.names("reducer") == ("local/half",)
    assert registry.undo(before, keep_local=False) == ["reducer 'local/half'"]
    assert registry.names("reducer") == ()


def test_a_lazy_module_that_replaces_others_is_undone_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme_lazily_replaces.py").write_text(
        "import metricreg\nfrom metricreg.registry import Entry\n"
        'metricreg.default_registry().add(Entry("reducer", "mean", "metricreg.reducers.sum:SumReducer", "x"), replace=True)\n'
        "from metricreg.reducers import SumReducer\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry.from_plugins({})
    monkeypatch.setattr(metricreg.registry.registry, "_default", registry)
    registry.add(Entry("reducer", "acme/half", "acme_lazily_replaces:SumReducer", "acme"))
    with pytest.warns(
        PluginWarning, match="importing reducer 'acme/half' of acme changed reducer 'mean', put back now"
    ):
        registry.get("reducer", "acme/half")
    assert registry.get("reducer", "mean") is metricreg.reducers.MeanReducer


def test_a_lazy_module_that_fails_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme_counts.py").write_text(
        "import sys\nsys.acme_runs = getattr(sys, 'acme_runs', 0) + 1\nraise KeyError('b')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    registry.add(Entry("reducer", "acme/half", "acme_counts:Half", "acme"))
    for _ in range(3):
        with pytest.raises(RegistrationError, match=r"KeyError: 'b' \(at .*acme_counts.py:3\)"):
            registry.get("reducer", "acme/half")
    assert sys.acme_runs == 1  # type: ignore[attr-defined]
    del sys.acme_runs  # type: ignore[attr-defined]


def test_a_plugin_may_wait_for_a_thread_that_looks_at_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = default(monkeypatch, "thread")
    reader = threading.Thread(target=registry.names, args=("reducer",), daemon=True)
    reader.start()
    reader.join(30)
    assert not reader.is_alive()
    assert report_of(registry, "thread").ok
    assert "mean" in sys.modules["acme_thread"].found  # it sees what was there before the plugin


def test_a_thread_that_does_not_hold_up_the_loading_sees_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = default(monkeypatch, "slow")
    first = threading.Thread(target=registry.names, args=("reducer",))
    first.start()
    found = []
    others = [threading.Thread(target=lambda: found.append(registry.names("reducer"))) for _ in range(3)]
    for other in others:
        other.start()
    for each in (first, *others):
        each.join()
    assert [("slow/half" in names) for names in found] == [True] * 3


def test_a_registry_of_ones_own_is_loaded_beside_a_thread_that_looks_at_the_default_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default(monkeypatch, "thread")
    loaded: list[Registry] = []
    loading = threading.Thread(
        target=lambda: loaded.append(Registry.from_plugins({"thread": "acme_thread"})), daemon=True
    )
    loading.start()
    loading.join(30)
    assert "thread/half" in loaded[0].names("reducer")
