"""Which versions of which distributions a pipeline is made with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from metricreg import Distance, Loss, Match, Miner, Pipeline, Reducer, Regularizer, default_registry


def versions(pipeline: Pipeline) -> dict[str, str]:
    """The version of metricreg, of this distribution, and of each that a component of the pipeline comes from."""
    registry, found = default_registry(), {}
    named = ["metricreg", "metricreg-sentence-transformers"]
    for part in pipeline.modules():
        if isinstance(part, (Distance, Loss, Match, Miner, Reducer, Regularizer)):
            name = registry.name_of(part.kind, type(part))
            named += [] if name is None else [registry.entry(part.kind, name).distribution]
    for distribution in sorted(set(named)):
        try:
            found[distribution] = version(distribution)
        except (PackageNotFoundError, ValueError):  # registered in this process, or run from a folder
            continue
    return found
