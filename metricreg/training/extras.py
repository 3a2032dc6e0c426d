"""The optional packages of the `train` extra: asked for before work starts, so that the answer is one clear line."""

from __future__ import annotations

from importlib.util import find_spec

from metricreg.errors import ExperimentError

ALWAYS = ("lightning", "sklearn", "matplotlib", "safetensors", "rich")


def require(*modules: str) -> None:
    """Raise `ExperimentError` unless every module can be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ExperimentError(
            f'training needs packages that are not installed ({", ".join(missing)}): pip install "metricreg[train]"'
        )
