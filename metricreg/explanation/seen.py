"""What is seen of losses, terms and miners while a pipeline is evaluated. No tensors are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import HingeTriplets, Scalar, Term
from metricreg.components import Loss, Miner


@dataclass
class SeenTerm:
    """What was seen of a term.

    Args:
        kind: what its values belong to; `scalar` for a term with a reduction of its own.
        shape: of its values, of one tile; None for a scalar.
        axes: the same in letters, such as `[A, M]`.
        size: how many values one tile has.
        statistics: of each, its type, its shape, and whether it carries gradient; None if there are none.
        again: whether it was made again in the backward pass.
        once: whether it is no sum over anchors, and made once.
    """

    kind: str
    shape: tuple[int, ...] | None
    axes: str
    size: int
    statistics: list[tuple[str, tuple[int, ...], bool]] | None = None
    again: bool = False
    once: bool = False


@dataclass
class SeenLoss:
    """What was seen of a loss.

    Args:
        loss: that loss.
        path: where it is in the pipeline, such as `loss.losses.0`.
        anchors: how many it has.
        references: how many it has.
        tile: anchors a tile; None for the dense plan.
        width: values an anchor, if tiles were asked for.
        dtype: of its embeddings.
        selection: what was selected: `Pairs`, `Triplets` or nothing.
        symmetric: whether only what is on and above the diagonal is evaluated.
        terms: by name.
        before: what was made of all anchors before, and in how many tiles.
    """

    loss: Loss
    path: str
    anchors: int
    references: int
    tile: int | None
    width: int | None
    dtype: torch.dtype
    selection: str
    symmetric: bool = False
    terms: dict[str, SeenTerm] = field(default_factory=dict)
    before: tuple[tuple[str, int], ...] = ()


@dataclass
class SeenMiner:
    """What was seen of a miner.

    Args:
        miner: that miner.
        path: where it is in the pipeline.
        found: `Pairs` or `Triplets`.
        counts: positive and negative pairs, or triplets.
        anchors: of how many anchors.
    """

    miner: Miner
    path: str
    found: str
    counts: tuple[int, ...]
    anchors: int


def statistic_seen(statistic: Tensor) -> tuple[str, tuple[int, ...], bool]:
    """Its type, its shape, and whether it carries gradient."""
    return str(statistic.dtype).removeprefix("torch."), tuple(statistic.shape), statistic.requires_grad


def term_seen(term: Term | Scalar, batch: Batch) -> SeenTerm:
    """What there is to see of a term of some anchors, making no values for it."""
    if isinstance(term, Scalar):
        statistics = [statistic_seen(s) for s in term.statistics]
        return SeenTerm("scalar", None, "Scalar", max((s.numel() for s in term.statistics), default=0), statistics)
    if isinstance(term, HingeTriplets):
        axes = f"relu of {_axes(term.x.shape, batch)} + {_axes(term.y.shape, batch)}"
        return SeenTerm(term.kind, None, axes, term.size)
    if type(term).values is not Term.values:  # made when asked for, and perhaps large
        return SeenTerm(term.kind, None, "summed, values not made", term.size)
    shape = tuple(term.values.shape)
    axes = "[T]" if term.rows is not None else _axes(shape, batch)
    return SeenTerm(term.kind, shape, axes, term.size)


def _axes(shape: tuple[int, ...], batch: Batch) -> str:
    """A shape in letters: A anchors, M references, K for what is neither, such as the positives of an anchor."""
    letters = ["A"] + ["M" if size == len(batch.references) else "K" for size in shape[1:]]
    return f"[{', '.join(letters[: len(shape)])}]"


__all__ = ["SeenLoss", "SeenMiner", "SeenTerm", "statistic_seen", "term_seen"]
