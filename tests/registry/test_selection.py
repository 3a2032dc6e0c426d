"""Which plugins are loaded: those that no word blocks, or only those that a word names."""

from __future__ import annotations

import sys

import pytest

import metricreg
from metricreg.errors import PluginError
from metricreg.registry import Registry
from tests.registry.distributions import DISTS, filled, report_of


@pytest.mark.parametrize("words", ["acme", "dist:ACME", " acme, "])
def test_only_the_plugins_that_are_named_are_loaded(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_ONLY", words)
    registry, warned = filled(monkeypatch, "classes", "strings", "import_error")
    assert not warned
    assert {r.name: r.status for r in registry.reports} == {
        "metricreg": "active",
        "acme": "active",
        "lazy": "blocked",
        "import_error": "blocked",
    }
    assert "acme_lazy" not in sys.modules
    assert report_of(registry, "lazy").problem == "not named by METRICREG_ONLY"
    (problem,) = metricreg.validate({"loss": {"name": "ntxent", "reducer": "lazy/half"}}, registry=registry)
    assert "not named by METRICREG_ONLY" in problem.message


def test_only_resolves_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICREG_ONLY", "dist:acme-rival-a")
    registry, warned = filled(monkeypatch, "rival_a", "rival_b")
    assert not warned
    assert registry.entry("reducer", "rival/half").distribution == "acme-rival-a"


@pytest.mark.parametrize(
    ("variable", "word", "says"),
    [
        ("METRICREG_BLOCK", "acne", "METRICREG_BLOCK names 'acne', and no plugin is called so; did you mean 'acme'?"),
        ("METRICREG_BLOCK", "dist:acne", "no distribution with a plugin is called so; did you mean 'dist:acme'?"),
        ("METRICREG_ONLY", "zzz", "METRICREG_ONLY names 'zzz', and no plugin is called so; `metricreg plugins` shows"),
        ("METRICREG_BLOCK", "\x1b[2J", r"METRICREG_BLOCK names '\x1b[2J', and"),
    ],
)
def test_a_word_that_names_nothing_is_warned_about(
    variable: str, word: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, word)
    registry, (warned,) = filled(monkeypatch, "classes")
    assert says in warned
    assert registry.notes == (warned,)
    assert all(report.ok for report in registry.reports)


# -- registries of one's own -------------------------------------------------------------------------------------------


def test_a_registry_of_metricregs_components_and_a_given_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DISTS / "classes"))
    import acme  # type: ignore[import-not-found]

    for given in (acme, "acme"):
        registry = Registry.from_plugins({"mine": given})
        assert [r.name for r in registry.reports] == ["metricreg", "mine"]
        spec = {"version": 1, "loss": {"name": "contrastive", "distance": "lp", "reducer": "mine/clipped_mean"}}
        assert metricreg.build(spec, registry=registry).to_spec(registry=registry) == spec
    assert "mine/clipped_mean" not in metricreg.default_registry().names("reducer")


def test_an_object_with_hooks_may_be_given() -> None:
    class Plugin:
        @metricreg.hookimpl
        def metricreg_reducers(self):  # type: ignore[no-untyped-def]
            return {"total": "metricreg.reducers.sum:SumReducer"}

    registry = Registry.from_plugins({"mine": Plugin()}, block=["metricreg"])
    assert [entry.name for entry in registry] == ["mine/total"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("acme_nowhere", "ModuleNotFoundError: No module named 'acme_nowhere'"),
        (object(), "it registers nothing"),
        ("json", "it registers nothing"),
    ],
)
def test_a_given_plugin_that_cannot_be_used_raises_at_once(given: object, says: str) -> None:
    with pytest.raises(PluginError, match=says):
        Registry.from_plugins({"mine": given})
    with pytest.warns(UserWarning, match=says):
        registry = Registry.from_plugins({"mine": given}, strict=False)
    assert "mean" in registry.names("reducer")


def test_installed_plugins_are_chosen_by_arguments_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for case in ("classes", "strings", "import_error"):
        monkeypatch.syspath_prepend(str(DISTS / case))
    monkeypatch.setenv("METRICREG_BLOCK", "acme")
    registry = Registry.from_plugins(only=["acme"])
    assert {entry.name.partition("/")[0] for entry in registry if "/" in entry.name} == {"acme"}
    own = Registry.from_plugins(only=[])
    assert not any("/" in entry.name for entry in own)
    assert "mean" in own.names("reducer")
    with pytest.raises(PluginError, match="acme_is_not_installed"):
        Registry.from_plugins(only=["import_error"])
    with pytest.raises(PluginError, match="block names 'acne', and no plugin is called so; did you mean 'acme'"):
        Registry.from_plugins(only=["acme"], block=["acne"])
