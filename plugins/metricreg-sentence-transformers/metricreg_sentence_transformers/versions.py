"""Which versions of which distributions a pipeline is made with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from metricreg import Distance, Loss, Match, Miner, Pipeline, Reducer, Regularizer, default_registry


def versions(pipeline: Pipeline) -> dict[str, str]:
    """The version of metricreg, of this distribution, and of each that a component of the pipeline comes from."""
    registry = default_registry()
    named = {"metricreg", "metricreg-sentence-transformers"}
    for part in pipeline.modules():
        if isinstance(part, (Distance, Loss, Match, Miner, Reducer, Regularizer)):
            name = registry.name_of(part.kind, type(part))
            if name is not None:
                named.add(registry.entry(part.kind, name).distribution)
    found = {distribution: _version(distribution) for distribution in sorted(named)}
    return {distribution: known for distribution, known in found.items() if known is not None}


def _version(distribution: str) -> str | None:
    """None of what is registered in this process alone."""
    try:
        return version(distribution)
    except (PackageNotFoundError, ValueError):
        return None
