"""A trial: whether any of some tiny batches satisfies a spec, which is otherwise found out in the first step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from metricreg.components.resolve import UnbuiltComponent, unbuilt_in
from metricreg.components.signature import parameters_model
from metricreg.components.validation_errors import pointer
from metricreg.errors import Problem, cut

MOST_VALUES = 2**22
"""Parameters and buffers up to which an objective is constructed to be tried."""
DIMENSIONS = 8
"""D of the embeddings, where the spec names none."""
MOST_DIMENSIONS = 4096
MOST_SIZES = 8
ROWS = (12, 1)
MOST_ROWS = 256
LABELS_IN_SET = 3

Path = tuple[str | int, ...]


def why_never(parts: dict[str, UnbuiltComponent]) -> Problem | None:
    """What no batch that was tried satisfies, and where; None if one does, or the objective is too large to be tried.

    Args:
        parts: `loss`, and perhaps `miner`, that are checked.
    """
    if any(part.specimen is None for part in parts.values()):
        return None
    held = (t for part in parts.values() for t in (*part.specimen.parameters(), *part.specimen.buffers()))  # type: ignore[union-attr]
    if sum(t.numel() for t in held) > MOST_VALUES:
        return None
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.device("cpu"), torch.no_grad():
        warnings.simplefilter("ignore")
        batches = list(_batches(parts))
        first = _error(parts, batches[0])
        if first is None or any(_error(parts, batch) is None for batch in batches[1:]):
            return None
        for path in _optional(parts):
            rest = _without(parts, path)
            works = next((batch for batch in batches if _error(rest, batch) is None), None)
            if works is not None:
                return Problem(pointer(path), _error(parts, works) or first)
        return Problem("/loss", first)


def is_own(parts: dict[str, UnbuiltComponent]) -> bool:
    """Whether all components ship with metricreg, so that the batches tried are of all kinds that they take."""
    return all(each.cls.__module__.split(".")[0] == "metricreg" for each, _ in unbuilt_in(parts))


def _error(parts: dict[str, UnbuiltComponent], batch: dict[str, Any]) -> str | None:
    """What a step of a batch raises, as a text: an exception would keep the tensors of the step."""
    try:
        built: dict[str, Any] = {name: part.construct((name,)) for name, part in parts.items()}
        if "miner" in built:
            mined = {k: v for k, v in batch.items() if k != "labels"}
            batch = batch | {"tuples": built["miner"](labels=batch.get("labels"), **mined)}
        built["loss"](**batch)
    except Exception as error:
        return f"no batch satisfies this: {cut(str(error), 300) or type(error).__name__}"
    return None


def _batches(parts: dict[str, UnbuiltComponent]) -> Iterator[dict[str, Any]]:
    """The arguments of steps, the usual ones first."""
    numbers: dict[str, list[int]] = {}
    for each, _ in unbuilt_in(parts):
        for name, value in each.values.items():
            if type(value) is int and 0 < value <= MOST_DIMENSIONS:
                numbers.setdefault(name, []).append(value)
    sizes = [*numbers.pop("embedding_size", []), DIMENSIONS, *(value for some in numbers.values() for value in some)]
    sets = [*numbers.get("label_size", []), LABELS_IN_SET][0]
    products = {a * b for some in numbers.values() for a in some for others in numbers.values() for b in others}
    for rows in dict.fromkeys([*ROWS, *sorted(n for n in products if n <= MOST_ROWS)]):
        for size in list(dict.fromkeys(sizes))[:MOST_SIZES]:
            x, y = torch.randn(rows, size), torch.randn(rows, size)
            classes, one = torch.arange(rows) // 2 % 2, torch.zeros(rows, dtype=torch.long)
            label_sets = torch.arange(rows * sets).view(rows, sets) % 2
            for labels in (classes, label_sets, one):
                yield {"embeddings": x, "labels": labels}
                yield {"embeddings": x, "labels": labels, "ref_embeddings": y, "ref_labels": labels}
            yield {"embeddings": x, "ref_embeddings": y}
            yield {"embeddings": x}


def _optional(parts: dict[str, UnbuiltComponent]) -> list[Path]:
    """Where a component stands that might be left out, the outer ones first."""
    found: list[Path] = [(name,) for name in parts if name != "loss"]
    for each, path in unbuilt_in(parts):
        fields = parameters_model(each.cls).model_fields
        inside = (name for name, value in each.values.items() if any(True for _ in unbuilt_in(value)))
        found += [(*path, name) for name in inside if not fields[name].is_required()]
    return sorted(found, key=len)


def _without(value: Any, path: Path) -> Any:
    """The same, without what stands at a path."""
    key, *rest = path
    if isinstance(value, UnbuiltComponent):  # constructed of the values alone
        return replace(value, values=_without(value.values, path), given={})
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != key}
        return kept if not rest else value | {key: _without(value[key], tuple(rest))}
    return type(value)(_without(item, tuple(rest)) if i == key else item for i, item in enumerate(value))
