"""A plugin in which a component and a parameter of each kind were renamed, and what stands around one in a spec."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from typing_extensions import Unpack

import metricreg
from metricreg import Registry, Term
from metricreg.registry import KINDS, Entry

SINCE = "1.3"


class New(metricreg.Reducer):
    """Mean of the values, at most `cap` each; another reducer may stand inside."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE), "old_inner": "inner"}

    def __init__(self, cap: float = 1.0, inner: metricreg.Reducer | None = None) -> None:
        super().__init__()
        self.cap, self.inner = cap, inner

    def reduce(self, term: Term) -> Any:
        return term.values.clamp(max=self.cap).mean()


class NewDistance(metricreg.Distance):
    """City block, times `cap`."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE)}

    def __init__(self, cap: float = 1.0) -> None:
        super().__init__()
        self.cap = cap

    def matrix(self, x: Any, y: Any) -> Any:
        return self.cap * (x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)


class NewLoss(metricreg.Loss):
    """Distances of positive pairs, times `cap`."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE)}

    def __init__(self, cap: float = 1.0, **slots: Unpack[metricreg.LossSlots]) -> None:
        super().__init__(**slots)
        self.cap = cap

    def terms(self, batch: Any) -> Any:
        return {"pos_loss": Term(self.cap * self.distance.between(batch), batch.positives, kind="pos_pair")}


class NewRegularizer(metricreg.Regularizer):
    """Squares, times `cap`."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE)}

    def __init__(self, cap: float = 1.0) -> None:
        super().__init__()
        self.cap = cap

    def terms(self, x: Any) -> Any:
        return {"loss": Term(self.cap * x.square().sum(1))}


class NewMiner(metricreg.Miner):
    """All pairs, the negative ones if they are closer than `cap`."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE)}

    def __init__(self, cap: float = 1.0) -> None:
        super().__init__()
        self.cap = cap

    def select(self, batch: Any) -> Any:
        near = self.distance.between(batch) < self.cap
        positives, negatives = batch.positives != 0, (batch.negatives != 0) & near
        return metricreg.Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True))


class NewMatch(metricreg.Match):
    """Labels that are less than `cap` apart."""

    former_names = ("old", ("older", SINCE))
    former_parameters: ClassVar = {"limit": ("cap", SINCE)}

    def __init__(self, cap: float = 1.0) -> None:
        super().__init__()
        self.cap = cap

    def positives(self, labels: Any, ref_labels: Any) -> Any:
        return (labels[:, None] - ref_labels[None]).abs() < self.cap


CLASSES: dict[str, type[Any]] = {
    "distance": NewDistance,
    "loss": NewLoss,
    "reducer": New,
    "regularizer": NewRegularizer,
    "miner": NewMiner,
    "match": NewMatch,
}

PLACES = {
    "distance": ("loss", "distance"),
    "loss": ("loss",),
    "reducer": ("loss", "reducer"),
    "regularizer": ("loss", "embedding_regularizer"),
    "miner": ("miner",),
    "match": ("loss", "match"),
}


def registry(lazy: bool = True) -> Registry:
    """metricreg's own components, and those above as `acme/new`."""
    found = Registry()
    found.add(*(entry for entry in metricreg.default_registry() if "/" not in entry.name))
    for kind in KINDS:
        cls = CLASSES[kind]
        found.add(Entry(kind, "acme/new", f"{cls.__module__}:{cls.__qualname__}" if lazy else cls, "acme-losses"))
    return found


def spec_with(kind: str, component: Any) -> dict[str, Any]:
    """A spec in which a component stands where its kind does."""
    if kind == "loss":
        return {"loss": component}
    if kind == "miner":
        return {"loss": "contrastive", "miner": component}
    return {"loss": {"name": "contrastive", PLACES[kind][1]: component}}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and labels."""
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) // 2
