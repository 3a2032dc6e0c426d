"""The registry: names to classes, lazily, and what it says of names it does not know."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial

import pytest

import metricreg
from metricreg.errors import RegistrationError, SpecError
from metricreg.reducers import MeanReducer, SumReducer
from metricreg.registry import KINDS, Entry, Registry, import_path
from metricreg.registry.entry_points import PluginReport
from metricreg.registry.unknown_name import explain_unknown

MEAN = "metricreg.reducers.mean:MeanReducer"


def entry(name: str = "mean", target: type | str = MEAN, kind: str = "reducer", by: str = "acme") -> Entry:
    return Entry(kind, name, target, by)


def test_a_new_registry_is_empty() -> None:
    registry = Registry()
    assert [registry.names(kind) for kind in KINDS] == [()] * len(KINDS)
    assert list(registry) == []
    assert registry.reports == ()


def test_names_are_sorted_metricregs_own_first() -> None:
    registry = Registry()
    registry.add(*(entry(name) for name in ("b/a", "z", "a/z", "m", "a/b")))
    assert registry.names("reducer") == ("m", "z", "a/b", "a/z", "b/a")


def test_a_string_and_a_class_give_the_same_class() -> None:
    registry = Registry()
    registry.add(entry(), entry("x/mean", MeanReducer))
    assert registry.get("reducer", "mean") is registry.get("reducer", "x/mean") is MeanReducer
    assert registry.entry("reducer", "x/mean").path == import_path(MeanReducer) == MEAN


def test_the_first_name_of_a_class_is_its_name() -> None:
    registry = Registry()
    registry.add(entry("mean"), entry("x/mean", MeanReducer))
    assert registry.name_of("reducer", MeanReducer) == "mean"
    assert registry.name_of("loss", MeanReducer) is None
    assert registry.name_of("reducer", SumReducer) is None


def test_a_name_that_was_replaced_by_another_class_is_no_longer_the_first_ones() -> None:
    registry = Registry()
    registry.add(entry("a/mean"))
    registry.add(entry("a/mean", SumReducer), replace=True)
    assert registry.name_of("reducer", MeanReducer) is None
    assert registry.get("reducer", "a/mean") is SumReducer


def test_a_class_under_a_re_exporting_module_is_found_by_its_own_path() -> None:
    registry = Registry()
    registry.add(entry("x/mean", "metricreg.reducers:MeanReducer"), entry("x/gone", "gone.module:SumReducer"))
    assert registry.name_of("reducer", MeanReducer) == "x/mean"
    assert registry.name_of("reducer", SumReducer) is None
    assert "gone.module" not in sys.modules


def test_a_taken_name_is_refused_and_both_are_named() -> None:
    registry = Registry()
    registry.add(entry(by="first"))
    with pytest.raises(RegistrationError, match=r"by first and as metricreg\.reducers\.sum:SumReducer by second"):
        registry.add(entry(target=SumReducer, by="second"))
    assert registry.get("reducer", "mean") is MeanReducer


@pytest.mark.parametrize(
    "bad", [entry("sum", "no path"), entry("sum", "os.system('x'):y"), entry("sum", "a:b:c"), entry("mean", SumReducer)]
)
def test_entries_are_added_all_or_none(bad: Entry) -> None:
    registry = Registry()
    registry.add(entry("mean"))
    with pytest.raises(RegistrationError):
        registry.add(entry("fine"), bad)
    assert registry.names("reducer") == ("mean",)


@pytest.mark.parametrize("call", ["names", "get", "entry"])
def test_an_unknown_kind_is_refused_with_the_kinds(call: str) -> None:
    arguments = ("losses",) if call == "names" else ("losses", "mean")
    with pytest.raises(SpecError, match="unknown kind 'losses'; the kinds are distance, loss"):
        getattr(Registry(), call)(*arguments)


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("loss", "contrastve", "did you mean 'contrastive'?"),
        ("loss", "threshold", "'threshold' is a reducer, not a loss; known: adaface, angular"),
        ("loss", "zzz", "known: adaface, angular, "),
        ("loss", "acme/softmin", "no installed plugin has the namespace 'acme'"),
        pytest.param("loss", "local/softmin", "metricreg.register(cls)", marks=pytest.mark.without_broken_plugins),
        ("loss", "", "unknown loss ''; known: adaface, angular"),
        ("loss", "a/b/c", "namespace 'a'"),
    ],
)
def test_an_unknown_name_is_explained(kind: str, name: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        metricreg.default_registry().get(kind, name)
    assert says in str(caught.value)


def test_a_misspelt_name_of_a_known_namespace_is_suggested() -> None:
    registry = Registry()
    registry.add(entry("acme/clipped_mean"))
    assert "did you mean 'acme/clipped_mean'?" in explain_unknown(registry, "reducer", "acme/cliped_mean")


def test_a_name_of_another_kind_is_told_before_a_similar_one() -> None:
    registry = Registry()
    registry.add(entry("acme/rms"), entry("acme/rma", kind="loss"))
    assert "'acme/rms' is a reducer, not a loss" in explain_unknown(registry, "loss", "acme/rms")


def test_a_strangers_broken_plugin_is_not_blamed_for_names_without_a_namespace() -> None:
    registry = Registry()
    registry.add(entry("mean"))
    registry.add_report(PluginReport("metricreg", "error", "stranger", "1", problem="reserved"))
    assert "did you mean 'mean'?" in explain_unknown(registry, "reducer", "meen")
    registry.add_report(PluginReport("metricreg", "blocked", "metricreg", "1", problem="blocked by METRICREG_BLOCK"))
    assert "is blocked" in explain_unknown(registry, "reducer", "meen")


def test_a_misspelt_namespace_is_suggested_beside_what_to_install() -> None:
    registry = Registry()
    registry.add(entry("acme/clipped_mean"))
    text = explain_unknown(registry, "reducer", "acne/clipped_mean")
    assert "namespace 'acne'; did you mean 'acme'? If not, install the distribution" in text
    assert "did you mean" not in explain_unknown(registry, "reducer", "other/clipped_mean")


def test_requirements_tell_which_distribution_to_install() -> None:
    explain = partial(explain_unknown, metricreg.default_registry())
    requires = {"torch": ">=2", "acme-reducers": ">=1.2,<2", "acmeology": "==1"}
    assert explain("loss", "acme/x", requires).endswith("pip install 'acme-reducers>=1.2,<2'")
    assert explain("loss", "acne/x", {"other": ">=1"}).endswith("pip install 'other>=1'")
    assert "pip install" not in explain("loss", "acme/x", {"torch": ">=2", "metricreg": ">=0.1"})  # they are there
    assert "install the distribution that provides the plugin 'acme'" in explain("loss", "acme/x")


def test_a_long_list_of_names_and_a_long_name_are_cut() -> None:
    registry = Registry()
    registry.add(*(entry(f"name{i}") for i in range(50)))
    text = explain_unknown(registry, "reducer", "q" * 10_000)
    assert "(30 more: metricreg list)" in text
    assert len(text) < 500


def test_an_empty_registry_says_so() -> None:
    assert "known: none" in explain_unknown(Registry(), "loss", "contrastive")


def test_the_loader_runs_once_when_first_looked_at() -> None:
    calls: list[Registry] = []
    registry = Registry(loader=calls.append)
    assert calls == []
    registry.names("loss")
    registry.names("loss")
    assert calls == [registry]


def test_a_loader_may_look_at_the_registry_it_fills() -> None:
    def loader(registry: Registry) -> None:
        registry.add(entry())
        assert registry.names("reducer") == ("mean",)

    assert Registry(loader=loader).names("reducer") == ("mean",)


def test_a_loader_that_failed_leaves_nothing_and_is_tried_again() -> None:
    attempts: list[int] = []

    def loader(registry: Registry) -> None:
        registry.add(entry())
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("first time")

    registry = Registry(loader=loader)
    with pytest.raises(RuntimeError, match="first time"):
        registry.names("reducer")
    assert registry.names("reducer") == ("mean",)


def test_a_thread_waits_for_another_ones_loading() -> None:
    started = threading.Event()

    def loader(registry: Registry) -> None:
        started.set()
        time.sleep(0.05)
        registry.add(entry())

    registry = Registry(loader=loader)
    first = threading.Thread(target=registry.names, args=("reducer",))
    first.start()
    started.wait()
    assert registry.names("reducer") == ("mean",)
    first.join()


def test_a_name_that_failed_works_once_it_stands_for_something_else() -> None:
    registry = Registry()
    registry.add(Entry("reducer", "x/a", "nowhere:Foo", "d"))
    before = registry.snapshot()
    with pytest.raises(RegistrationError, match="No module named 'nowhere'"):
        registry.get("reducer", "x/a")
    registry.add(Entry("reducer", "x/a", SumReducer, "d"), replace=True)
    assert registry.get("reducer", "x/a") is SumReducer
    assert registry.undo(before, keep_local=False) == ["reducer 'x/a'"]
    with pytest.raises(RegistrationError, match="No module named 'nowhere'"):
        registry.get("reducer", "x/a")


def test_a_class_keeps_its_first_name_when_a_change_is_undone() -> None:
    registry = Registry()
    registry.add(Entry("reducer", "sum", SumReducer, "d"), Entry("reducer", "x/again", SumReducer, "x"))
    before = registry.snapshot()
    registry.add(Entry("reducer", "sum", "nowhere:Foo", "y"), replace=True)
    registry.undo(before, keep_local=True)
    assert registry.name_of("reducer", SumReducer) == "sum"
    assert list(registry.snapshot()) == list(before)
