"""Random configurations: a spec and a batch, evaluated by metricreg and by pytorch-metric-learning."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor

import metricreg
from metricreg import Pairs, Term
from metricreg.distances import LpDistance, SNRDistance
from tests.oracle import value_and_gradients
from tests.parity.counterparts import COUNTERPARTS, LOSSES, SIMPLE, Drawing, a, between, drawn, in_pml

TOLERANCE = 1e-5
"""How far values and gradients may be apart in float32, as a part of the largest entry of each."""
EXACT = 1e-8
"""The same in float64."""
RANDOM_MINERS = ("distance_weighted", "uniform_histogram", "hdc")
"""Miners that draw, or leave open which of equal pairs they take: PML is handed what ours found."""


@dataclass(frozen=True)
class Configuration:
    """A spec and a batch, as plain data, so that a failure can be replayed."""

    spec: dict[str, Any]
    labels: list[int]
    ref_labels: list[int] | None
    tuples: list[list[int]] | None
    size: int
    seed: int
    spread: float
    unit: bool

    @property
    def loss(self) -> dict[str, Any]:
        """The loss's spec."""
        loss: dict[str, Any] = self.spec["loss"]
        return loss

    @property
    def name(self) -> str:
        """The loss's name."""
        return str(self.loss["name"])

    @property
    def reducer(self) -> str:
        """The name of the reducer, `default` where the loss has its own."""
        return str(self.loss.get("reducer", {"name": "default"})["name"])

    def named(self, slot: str) -> dict[str, Any]:
        """The spec in a slot of the loss, or of the miner; empty if there is none."""
        found: dict[str, Any] = self.spec.get(slot) or self.loss.get(slot) or {}
        return found

    @cached_property
    def x(self) -> Tensor:
        """Embeddings, float64 with the values of float32; classes are apart by `spread`."""
        return self._rows(self.labels, 0)

    @cached_property
    def y(self) -> Tensor:
        """Reference embeddings; the embeddings themselves if there are none apart."""
        return self.x if self.ref_labels is None else self._rows(self.ref_labels, 1)

    def _rows(self, labels: list[int], salt: int) -> Tensor:
        classes = {label: i for i, label in enumerate(sorted({*self.labels, *(self.ref_labels or [])}))}
        generator = torch.Generator().manual_seed(self.seed)
        centers = torch.randn(max(len(classes), 1), self.size, generator=generator)
        noise = torch.randn(len(labels), self.size, generator=generator.manual_seed(self.seed + salt + 1))
        x = noise + self.spread * centers[[classes[label] for label in labels]]
        return (torch.nn.functional.normalize(x) if self.unit else x).double()

    def __str__(self) -> str:
        """What replays it."""
        return json.dumps({key: value for key, value in vars(self).items() if key not in ("x", "y")})


# -- drawing -----------------------------------------------------------------------------------------------------------


def _balanced(r: Random, n: int, c: int) -> list[int]:
    return [i % c for i in range(n)]


def _shuffled(labels: list[int], r: Random) -> list[int]:
    r.shuffle(labels)
    return labels


LABELS: dict[str, tuple[float, Callable[[Random, int, int], list[int]]]] = {
    "balanced": (6, lambda r, n, c: _shuffled(_balanced(r, n, c), r)),
    "random": (4, lambda r, n, c: [r.randrange(c) for _ in range(n)]),
    "imbalanced": (4, lambda r, n, c: r.choices(range(c), [4.0**-i for i in range(c)], k=n)),
    "with singletons": (3, lambda r, n, c: _shuffled([0] * max(n - c + 1, 1) + list(range(1, c)), r)[:n]),
    "one class": (0.4, lambda r, n, c: [r.randrange(c)] * n),
    "distinct": (0.4, lambda r, n, c: _shuffled(list(range(c)), r)[:n]),
    "own class": (0, lambda r, n, c: list(range(c))),
    "as many rows as classes": (0, lambda r, n, c: [i // c for i in range(c * c)]),
}
"""How labels are distributed: how often, and n of the classes 0 to c - 1."""

VALUES: dict[str, Callable[[Random, int], list[int]]] = {
    "classes": lambda r, c: list(range(c)),
    "negative": lambda r, c: r.sample(range(-50, 0), c),
    "beyond 32 bits": lambda r, c: [v * 2**33 + 5 for v in r.sample(range(-40, 40), c)],
    "apart by one beyond float32": lambda r, c: [2**53 + v for v in r.sample(range(2 * c), c)],
}
"""What stands for class 0 to c - 1, where any integer may."""


def draw(name: str, index: int) -> Configuration:
    """The configuration of a loss with a number; the same one always."""
    r = Random(f"{name} {index}")
    entry = LOSSES[name]
    drawing = Drawing(r, r.randint(2, 6), r.randint(2, 8))
    loss = drawn("loss", name, drawing)
    if entry.distances and drawing.chance(0.6):
        loss["distance"] = a("distance", *entry.distances)(drawing)
    if entry.reducers and drawing.chance(0.5):
        loss["reducer"] = _reducer(entry.reducers, entry.terms, drawing)
    if drawing.chance(0.15):
        loss["embedding_regularizer"] = a("regularizer", "center_invariant", "lp", "zero_mean")(drawing)
        loss["embedding_reg_weight"] = between(0.1, 2.0)(drawing)
    penalty = loss.get("weight_regularizer", {})
    if penalty.get("name") == "sparse_centers":
        penalty["centers_per_class"] = loss["centers_per_class"]
    spec: dict[str, Any] = {"loss": loss, "execution": _plan(r)}
    if entry.tuples and drawing.chance(0.35):
        spec["miner"] = a("miner", *COUNTERPARTS["miner"])(drawing)
    kinds = list(LABELS)
    if entry.labels and drawing.chance(0.7):
        distribution = r.choice(entry.labels)
    else:
        distribution = r.choices(kinds, [LABELS[kind][0] for kind in kinds])[0]
    count = drawing.classes if distribution in ("distinct", "own class") else r.choice([1, 2, *range(3, 21)])
    classes = LABELS[distribution][1](r, count, drawing.classes)
    of_classes = [r.randrange(drawing.classes) for _ in range(r.randint(1, 16))]
    fixed = (
        entry.classes or "num_classes" in loss or "class_weighted" in json.dumps(spec) or distribution == "own class"
    )
    values = VALUES["classes" if fixed else r.choice(list(VALUES))](r, drawing.classes)
    labels = [values[i] for i in classes]
    refs = [values[i] for i in of_classes] if entry.references and drawing.chance(0.3) else None
    listed = entry.tuples and "miner" not in spec and drawing.chance(0.3)
    tuples = _tuples(r, labels, refs) if listed else None
    unit = spec.get("miner", {}).get("name") == "angular" and drawing.chance(0.8)
    return Configuration(spec, labels, refs, tuples, drawing.size, r.randrange(2**31), r.choice([0.0, 0.5, 1.5]), unit)


def _reducer(names: tuple[str, ...], terms: tuple[str, ...], drawing: Drawing) -> dict[str, Any]:
    reducer = drawn("reducer", drawing.random.choice(names), drawing)
    if reducer["name"] == "multiple":
        reducer["reducers"] = {drawing.random.choice(terms): a("reducer", *SIMPLE)(drawing)}
    return reducer


def _plan(r: Random) -> dict[str, Any]:
    return {"plan": "dense"} if r.random() < 0.5 else {"plan": "tiled", "tile": r.randint(1, 9)}


def _tuples(r: Random, labels: list[int], refs: list[int] | None) -> list[list[int]] | None:
    """Up to 12 pairs or triplets, some of them twice; none where there are no such."""
    others = labels if refs is None else refs
    pairs = [(i, j) for i in range(len(labels)) for j in range(len(others)) if refs is not None or i != j]
    positive = [(i, j) for i, j in pairs if labels[i] == others[j]]
    negative = [(i, j) for i, j in pairs if labels[i] != others[j]]
    triplets = [(i, j, k) for i, j in positive for h, k in negative if h == i]
    if r.random() < 0.5:
        found = [r.choice(triplets) for _ in range(r.randint(1, 12))] if triplets else []
        return [list(column) for column in zip(*found, strict=True)] or None
    if not positive or not negative:
        return None
    lists = [[r.choice(some) for _ in range(r.randint(1, 12))] for some in (positive, negative)]
    return [list(column) for some in lists for column in zip(*some, strict=True)]


# -- evaluating --------------------------------------------------------------------------------------------------------

Result = list[Tensor]
"""The value, and the gradients of the embeddings, of the reference embeddings, and of the class vectors."""


def scalar(total: Any) -> Tensor:
    """A value; of terms that no reducer reduced, the sum of all their values."""
    if isinstance(total, Tensor):
        return total.reshape(())
    parts = []
    for term in total.values():
        if isinstance(term, dict):
            parts.append(torch.as_tensor(term["losses"]).sum())
        elif isinstance(term, Tensor):
            parts.append(term.reshape(()))
        else:
            parts.append(term.sum())
    return torch.stack([part.double() for part in parts]).sum()


class Evaluation:
    """One configuration in one precision, by both libraries.

    Args:
        configuration: what to evaluate.
        dtype: of the embeddings, and of what is computed.
    """

    def __init__(self, configuration: Configuration, dtype: torch.dtype) -> None:
        self.configuration, self.dtype = configuration, dtype
        self.entry = LOSSES[configuration.name]
        torch.manual_seed(configuration.seed)
        self.pipeline = metricreg.build(configuration.spec).to(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of temperatures, which PML finds too large
            self.theirs = in_pml("loss", configuration.loss).to(dtype)
        self.labels = torch.tensor(configuration.labels, dtype=torch.long)
        self.x = self._leaf(configuration.x)
        self.y = None if configuration.ref_labels is None else self._leaf(configuration.y)
        self.ref_labels = None if self.y is None else torch.tensor(configuration.ref_labels, dtype=torch.long)
        self.tuples = None if configuration.tuples is None else tuple(map(torch.tensor, configuration.tuples))
        self.parameters = list(zip(self.pipeline.parameters(), self.theirs.parameters(), strict=True))
        for mine, other in self.parameters:
            other.data = (mine.detach().T if self._columns(mine) else mine.detach()).clone()

    def _leaf(self, rows: Tensor) -> Tensor:
        return rows.to(self.dtype, copy=True).requires_grad_()

    def _columns(self, mine: Tensor) -> bool:
        return self.entry.columns and mine.ndim == 2

    @property
    def leaves(self) -> list[Tensor]:
        """The embeddings."""
        return [self.x] if self.y is None else [self.x, self.y]

    def mined(self) -> Any:
        """What our miner finds, as index lists; None without one."""
        if self.pipeline.miner is None:
            return None
        torch.manual_seed(self.configuration.seed)
        return self.pipeline.miner(self.x, self.labels, self.y, self.ref_labels)

    def their_mined(self) -> Any:
        """What PML's miner finds; what ours does, where that is open."""
        spec, ours = self.configuration.spec["miner"], self.mined()
        if spec["name"] in RANDOM_MINERS:
            return ours.columns()
        return in_pml("miner", spec)(self.x, self.labels, self.y, self.ref_labels)

    @cached_property
    def selected(self) -> list[list[int]] | None:
        """The index lists that were listed or mined; None for all pairs."""
        if self.pipeline.miner is not None:
            return [column.tolist() for column in self.mined().columns()]
        return self.configuration.tuples

    @cached_property
    def pairs(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The positive and the negative pairs that count, as often as they count."""
        if self.selected is not None:
            lists = (
                self.selected if len(self.selected) == 4 else [*self.selected[:2], self.selected[0], self.selected[2]]
            )
            return list(zip(*lists[:2], strict=True)), list(zip(*lists[2:], strict=True))
        return self.of_labels

    @cached_property
    def of_labels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The positive and the negative pairs that labels make."""
        labels = self.configuration.labels
        others = labels if self.y is None else self.configuration.ref_labels or []
        every = [(i, j) for i in range(len(labels)) for j in range(len(others)) if self.y is not None or i != j]
        return (
            [(i, j) for i, j in every if labels[i] == others[j]],
            [(i, j) for i, j in every if labels[i] != others[j]],
        )

    @cached_property
    def values(self) -> Tensor:
        """The unreduced values that count, all terms together."""
        terms = self.pipeline.terms(
            self.x, self.labels, ref_embeddings=self.y, ref_labels=self.ref_labels, tuples=self.tuples
        )
        parts = [term for term in terms.values() if isinstance(term, Term)]
        with torch.no_grad():
            counting = [torch.ones_like(t.values) if t.weight is None else t.weight.expand_as(t.values) for t in parts]
            return torch.cat([t.values[of != 0].flatten() for t, of in zip(parts, counting, strict=True)])

    def resolution(self) -> float:
        """How well float32 resolves the gradient of distances that come from a Gram matrix.

        Their squares have an error of some roundings of the squared norms, and the slope of the root is 1 / 2d.
        """
        distance = self.pipeline.loss.distance
        if not (isinstance(distance, SNRDistance) or (isinstance(distance, LpDistance) and distance.p == 2)):
            return 0.0
        with torch.no_grad():
            x = distance.prepare(self.x)
            y = x if self.y is None else distance.prepare(self.y)
            squares = torch.cdist(x, y).square()
            norms = x.square().sum(1, keepdim=True) + y.square().sum(1)
            noise = torch.finfo(torch.float32).eps * norms / squares
            noise = noise[squares > 0] if self.y is not None else noise.fill_diagonal_(0.0)
        return 8 * float(noise.max()) if noise.numel() else 0.0

    def same_tuples(self) -> bool:
        """Whether both miners find the same."""
        if self.pipeline.miner is None:
            return True
        ours, other = self.mined(), self.their_mined()
        if isinstance(ours, Pairs):
            return _listed(ours.columns()[:2]) == _listed(other[:2]) and _listed(ours.columns()[2:]) == _listed(
                other[2:]
            )
        return _listed(ours.columns()) == _listed(other)

    def ours(self) -> Result:
        """What metricreg makes of it."""
        torch.manual_seed(self.configuration.seed)
        total = self.pipeline(
            self.x, self.labels, tuples=self.tuples, ref_embeddings=self.y, ref_labels=self.ref_labels
        )
        return value_and_gradients(scalar(total), [*self.leaves, *(mine for mine, _ in self.parameters)])

    def pml(self) -> Result:
        """What PML makes of it, in our layout; what it makes of itself, such as `torch.zeros`, in the same precision."""
        default = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            return self._pml()
        finally:
            torch.set_default_dtype(default)

    def _pml(self) -> Result:
        tuples = self.tuples
        if self.pipeline.miner is not None:
            # of each class, npairs takes what is listed first, and miners list in any order
            ordered = self.configuration.name == "npairs"
            tuples = self.mined().columns() if ordered else self.their_mined()
        total = self.theirs(self.x, self.labels, *((tuples, self.y, self.ref_labels) if self._takes_more else ()))
        found = value_and_gradients(scalar(total), [*self.leaves, *(other for _, other in self.parameters)])
        first = 1 + len(self.leaves)
        gradients = [
            g.T if self._columns(mine) else g for (mine, _), g in zip(self.parameters, found[first:], strict=True)
        ]
        if self.configuration.name == "p2s_grad":  # PML's has a part along the weights, which it then scales away
            of_weights, along = gradients[0], self.parameters[0][0].detach()
            gradients = [of_weights - (of_weights * along).sum(1, keepdim=True) * along]
        return [*found[:first], *gradients]

    @property
    def _takes_more(self) -> bool:
        return self.entry.references or self.entry.tuples


def _listed(columns: Any) -> list[tuple[int, ...]]:
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def distance_between(got: Result, want: Result, least: float = 1e-4) -> float:
    """The largest difference of two results, each tensor's as a part of its largest entry.

    Args:
        got: what is measured.
        want: what it is measured against.
        least: what an entry counts as at least; what is less is made of the rounding of values of order 1.
    """
    worst = 0.0
    for g, w in zip(got, want, strict=True):
        if not w.numel():
            continue
        if not (g.isfinite().all() and w.isfinite().all()):
            return float("inf")
        scale = max(float(w.abs().max()), least)
        worst = max(worst, float((g.double() - w.double()).abs().max()) / scale)
    return worst
