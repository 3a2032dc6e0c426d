"""The names that other people's code may rely on."""

from __future__ import annotations

import inspect
from typing import get_origin

import pytest

import metricreg

PROMISED = [
    "build",
    "validate",
    "load",
    "explain",
    "json_schema",
    "lock",
    "diff",
    "migrate",
    "RenamedWarning",
    "default_registry",
    "register",
    "create",
    "plugin_reports",
    "Registry",
    "hookimpl",
    "Distance",
    "Loss",
    "Reducer",
    "Regularizer",
    "Miner",
    "Batch",
    "Term",
    "Pipeline",
    "LayerRegularization",
    "SpecError",
    "PluginError",
    "MetricregError",
    "distances",
    "losses",
    "reducers",
    "regularizers",
    "miners",
]


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_exist(name: str) -> None:
    assert name in metricreg.__all__
    assert getattr(metricreg, name) is not None


def test_every_public_name_exists_and_is_listed() -> None:
    assert set(metricreg.__all__) <= set(dir(metricreg))
    for name in metricreg.__all__:
        assert getattr(metricreg, name) is not None
    assert "__version__" in dir(metricreg)
    assert metricreg.__version__.count(".") >= 2


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'metricreg' has no attribute 'biuld'"):
        metricreg.biuld  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from metricreg import biuld  # type: ignore[attr-defined]  # noqa: F401


def test_names_are_the_same_object_wherever_they_are_taken_from() -> None:
    from metricreg.losses.contrastive import ContrastiveLoss

    assert metricreg.losses.ContrastiveLoss is ContrastiveLoss
    assert metricreg.SpecError is metricreg.errors.SpecError


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("build", ["spec", "registry", "strict"]),
        ("validate", ["spec", "registry"]),
        ("load", ["path"]),
        ("json_schema", ["registry"]),
        ("lock", ["spec", "exact", "upgrade", "registry"]),
        ("diff", ["a", "b", "registry"]),
        ("migrate", ["spec", "registry"]),
        ("register", ["cls", "name", "registry"]),
        ("create", ["kind", "name", "registry", "parameters"]),
        ("plugin_reports", ["registry"]),
        ("default_registry", []),
    ],
)
def test_signatures_are_the_promised_ones(function: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(metricreg, function))
    assert list(signature.parameters) == parameters
    if "registry" in parameters and len(parameters) > 1 and function != "plugin_reports":
        assert signature.parameters["registry"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("kind", ["distances", "losses", "reducers", "regularizers", "miners"])
def test_every_built_in_can_be_imported_from_its_family(kind: str) -> None:
    family = getattr(metricreg, kind)
    singular = {"losses": "loss"}.get(kind, kind[:-1])
    for entry in metricreg.default_registry():
        if entry.kind == singular and "/" not in entry.name:
            cls = metricreg.default_registry().get(entry.kind, entry.name)
            assert getattr(family, cls.__name__) is cls
            assert cls.__name__ in family.__all__


@pytest.mark.parametrize("name", [n for n in metricreg.__all__ if callable(getattr(metricreg, n))])
def test_everything_public_is_documented(name: str) -> None:
    value = getattr(metricreg, name)
    if get_origin(value) is None:  # a hint has none
        assert (value.__doc__ or "").strip()
