"""A trial: whether any of some tiny batches satisfies a spec, which is otherwise found out in the first step."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, islice
from typing import Any

import torch

from metricreg.components.resolve import UnbuiltComponent, unbuilt_in
from metricreg.components.signature import parameters_model
from metricreg.components.validation_errors import pointer
from metricreg.errors import Problem, said
from metricreg.registry import OWN_DISTRIBUTION

MOST_COMPONENTS = 64
"""An objective of more is not tried."""
MOST_VALUES = 2**21
"""Parameters and buffers up to which an objective is constructed to be tried."""
DIMENSIONS = 8
"""D of the embeddings, where the spec names none."""
LARGEST = 2048
"""The largest integer in a spec that is tried: some components make tensors of its square."""
MOST_PRODUCT = 2**19
"""Two of the integers multiplied."""
MOST_WORK = 2**22
"""Values that a component might make of all pairs of a batch: one for each that the largest integer counts."""
SECONDS = 0.5
"""How long batches are tried, of the processor's time; if none was found until then, nothing is said."""
MOST_SIZES = 8
USUAL_ROWS = (12, 1)
ROWS = (*USUAL_ROWS, *range(2, 10))
MOST_ROWS = 96
LABELS_IN_SET = 3
NEVER = "no batch satisfies this: "

Path = tuple[str | int, ...]


def why_never(parts: dict[str, UnbuiltComponent]) -> Problem | None:
    """What no batch that was tried satisfies, and where; None if one does, or the objective is too large to be tried.

    Args:
        parts: `loss`, and perhaps `miner`, that are checked.
    """
    if any(part.specimen is None for part in parts.values()):
        return None
    loss: Any = parts["loss"].specimen
    refusal = loss.refusal_of_a_miner() if "miner" in parts else None
    if refusal is not None:
        return Problem("/miner", f"{NEVER}{refusal}")
    if any(True for _ in islice(unbuilt_in(parts), MOST_COMPONENTS, None)):
        return None
    held = [t for part in parts.values() for t in (*part.specimen.parameters(), *part.specimen.buffers())]  # type: ignore[union-attr]
    if sum(t.numel() for t in held) > MOST_VALUES:
        return None
    found = _Trial(parts, max((n for t in held for n in t.shape), default=1))
    if found.largest > LARGEST or found.product > MOST_PRODUCT:
        return None
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.device("cpu"), torch.no_grad():
        warnings.simplefilter("ignore")
        first = found.error(parts)
        if first is None or found.gave_up:
            return None
        for path in _optional(parts):
            rest = _without(parts, path)
            if found.error(rest) is None and not found.gave_up:
                return Problem(pointer(path), found.error(parts, found.satisfied) or first)
    return None if found.gave_up else Problem("/loss", first)


def is_own(parts: dict[str, UnbuiltComponent]) -> bool:
    """Whether all components ship with metricreg, so that the batches tried are of all kinds that they take."""
    return all(each.entry is not None and each.entry.distribution == OWN_DISTRIBUTION for each, _ in unbuilt_in(parts))


class _Trial:
    """Tries parts on batches until one satisfies them.

    Attributes:
        gave_up: whether there were batches that it could not try.
        largest: the largest integer in the spec, or axis of what it holds.
        product: that of the two largest integers.
        satisfied: the batch that satisfied the last parts.
    """

    def __init__(self, parts: dict[str, UnbuiltComponent], longest: int) -> None:
        self.until = time.thread_time() + SECONDS
        self.satisfied: dict[str, Any] = {}
        self.numbers: dict[str, list[int]] = {}
        self.products: set[int] = set()
        for each, _ in unbuilt_in(parts):
            own = {name: value for name, value in each.values.items() if type(value) is int and value > 0}
            for name, value in own.items():
                self.numbers.setdefault(name, []).append(value)
            counts = [value for name, value in own.items() if name != "embedding_size"]
            self.products |= {a * b for a, b in combinations(counts, 2)}
        given = [value for some in self.numbers.values() for value in some]
        self.largest = max([longest, *given])
        self.product = math.prod(sorted(given)[-2:])
        self.gave_up = False

    def error(self, parts: dict[str, UnbuiltComponent], batch: dict[str, Any] | None = None) -> str | None:
        """What the first batch raises, as a text: an exception would keep tensors; None if some batch satisfies them.

        Args:
            parts: to be tried.
            batch: the only one to be tried.
        """
        first = None
        built: dict[str, Any] = {}
        for each in self.batches() if batch is None else [batch]:
            if time.thread_time() > self.until:
                self.gave_up = True
                return None
            try:
                built = built or {name: part.construct((name,)) for name, part in parts.items()}
                selected = {}
                if "miner" in built:
                    mined = {k: v for k, v in each.items() if k != "labels"}
                    selected = {"tuples": built["miner"](labels=each.get("labels"), **mined)}
                built["loss"](**each, **selected)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may raise anything
                first = first or _message(error)
            else:
                self.satisfied = each
                return None
        if any(n > MOST_ROWS or n * n * self.largest > MOST_WORK for n in self.products):  # rows that it could not try
            self.gave_up = True
        return first

    def batches(self) -> Iterator[dict[str, Any]]:
        """The arguments of steps, the usual ones first."""
        given = [value for name, some in self.numbers.items() if name != "embedding_size" for value in some]
        sizes = [*self.numbers.get("embedding_size", []), DIMENSIONS, *given]
        sets = [*self.numbers.get("label_size", []), LABELS_IN_SET][0]
        sizes = list(dict.fromkeys(sizes))[:MOST_SIZES]
        rows_tried = dict.fromkeys([*ROWS, *sorted(n for n in self.products if n <= MOST_ROWS)])
        for rows in (n for n in rows_tried if n * n * self.largest <= MOST_WORK):
            for size in sizes if rows in USUAL_ROWS else sizes[:1]:
                x, y = torch.randn(rows, size), torch.randn(rows, size)
                classes, one = torch.arange(rows) // 2 % 2, torch.zeros(rows, dtype=torch.long)
                label_sets = torch.arange(rows * sets).view(rows, sets) % 2
                for labels in (classes, label_sets, one) if rows in USUAL_ROWS else (classes,):
                    yield {"embeddings": x, "labels": labels}
                    yield {"embeddings": x, "labels": labels, "ref_embeddings": y, "ref_labels": labels}
                yield {"embeddings": x, "ref_embeddings": y}
                yield {"embeddings": x}


def _message(error: BaseException) -> str:
    return f"{NEVER}{said(error) or said(type(error).__name__)}"


def _optional(parts: dict[str, UnbuiltComponent]) -> list[Path]:
    """Where a component stands that might be left out, the outer ones first."""
    found: list[Path] = [(name,) for name in parts if name != "loss"]
    for each, path in unbuilt_in(parts):
        fields = parameters_model(each.cls).model_fields
        inside = (name for name, value in each.values.items() if any(True for _ in unbuilt_in(value)))
        found += [(*path, each.written.get(name, name)) for name in inside if not fields[name].is_required()]
    return sorted(found, key=len)


def _without(value: Any, path: Path) -> Any:
    """The same, without what stands at a path."""
    key, *rest = path
    if isinstance(value, UnbuiltComponent):  # constructed of the values alone
        named = {former: now for now, former in value.written.items()}
        return replace(value, values=_without(value.values, (named.get(str(key), key), *rest)), given={})
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != key}
        return kept if not rest else value | {key: _without(value[key], tuple(rest))}
    return type(value)(_without(item, tuple(rest)) if i == key else item for i, item in enumerate(value))
