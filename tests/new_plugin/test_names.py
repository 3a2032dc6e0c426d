"""What a new plugin may be called."""

from __future__ import annotations

import pytest

import metricreg.new_plugin.names
from metricreg import InputError, PluginReport, Registry
from metricreg.new_plugin.names import names_of


@pytest.mark.parametrize(
    ("given", "distribution", "namespace", "package"),
    [
        ("metricreg-acme", "metricreg-acme", "acme", "metricreg_acme"),
        ("Metricreg_Acme.Losses", "metricreg-acme-losses", "acme-losses", "metricreg_acme_losses"),
        ("acme-losses", "acme-losses", "acme-losses", "acme_losses"),
        ("a", "a", "a", "a"),
        ("metricreg-class", "metricreg-class", "class", "metricreg_class"),
    ],
)
def test_namespace_and_package_follow_from_the_name(
    given: str, distribution: str, namespace: str, package: str
) -> None:
    names = names_of(given)
    assert (names.distribution, names.namespace, names.package) == (distribution, namespace, package)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "is no name of a distribution"),
        ("-acme", "is no name of a distribution"),
        ("acme\n", r"'acme\\n' is no name of a distribution"),
        ("my plugin", "begins and ends with a letter or digit; for example metricreg-acme"),
        ("../acme", "is no name of a distribution"),
        ("acmé", "is no name of a distribution"),
        ("a" * 101, r"'a+\.\.\.' is no name of a distribution"),
        ("metricreg-3d", "its namespace would be '3d', which has to begin with a letter"),
        ("metricreg", "the namespace 'metricreg' is reserved"),
        ("metricreg-metricreg", "the namespace 'metricreg' is reserved"),
        ("metricreg-local", "the namespace 'local' is reserved"),
        ("lambda", "its package would be 'lambda', which is a word of Python"),
        ("tests", "its package would be 'tests', which is a folder of every project"),
        ("dist", "its package would be 'dist', which is a folder of every project"),
        ("json", "its package would be 'json', and there is one of that name"),
        ("torch", "its package would be 'torch', and there is one of that name"),
        ("typing.extensions", "its package would be 'typing_extensions', and there is one"),
    ],
)
def test_a_name_that_cannot_be_is_refused(given: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        names_of(given)


def test_the_namespace_of_an_installed_plugin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    registry.add_report(PluginReport("acme", "blocked", "acme-losses", "1.2"))
    monkeypatch.setattr(metricreg.new_plugin.names, "default_registry", lambda: registry)
    with pytest.raises(InputError, match="the namespace 'acme' is that of acme-losses, which is installed"):
        names_of("metricreg-acme")
    assert names_of("metricreg-acme-too").namespace == "acme-too"
