"""Batch: some anchors against all references, and what a loss may ask about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricreg.batch.embeddings import check_rows, check_tensors, not_finite
from metricreg.batch.inputs import read_inputs
from metricreg.batch.labels import Matching
from metricreg.batch.listing import are_own_columns
from metricreg.batch.samples import Samples
from metricreg.batch.tuples import Pairs, Selection, Triplets
from metricreg.errors import InputError, MetricregError


class Engine(Protocol):
    """What goes over a batch in tiles."""

    @property
    def tile(self) -> int | None:
        """Anchors a tile; None for all at once."""

    @property
    def dense(self) -> bool:
        """Whether plain autograd is asked for."""

    def map(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """As `Batch.map`."""

    def totals(
        self, batch: Batch, terms: Callable[[Batch], Mapping[str, Any]], symmetric: bool
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """As `Batch.totals`."""


@dataclass(frozen=True, eq=False)
class Batch(Samples):
    """Anchors against references. What follows from them is made when asked for, and kept.

    Args:
        anchors: `[A, D]`.
        references: `[M, D]`; the same tensor as `anchors` where a batch is compared with itself.
        anchor_labels: `[A]`, integers of any value, or `[A, L]`, what `match` compares; None where a selection says
            what belongs together.
        reference_labels: `[M]` or `[M, L]`.
        self_index: `[A]`, the column of `references` that is the anchor itself, -1 where it is not among them; None
            where the references are a separate set.
        selection: the pairs or triplets that are meant; None for all.
        match: says by their labels which samples belong together; those with the same label if None.
        weights: `[A]`, how much each anchor's loss counts, or None.
        row: further tensors with a row an anchor, `[A, ...]`, put there by `Loss.prepare`.
        whole: further tensors about the whole batch, put there by `Loss.prepare`.
    """

    _engine: Engine | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        embeddings: Tensor,
        labels: Any = None,
        *,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
    ) -> Batch:
        """Check what a caller hands in and make a batch of it. Half precision becomes float32.

        Args:
            embeddings: `[N, D]`, floating point.
            labels: `[N]` integers, or `[N, L]` integers or bool for a match to compare; a tensor on any device, an
                array or a list.
            tuples: `Pairs`, `Triplets`, or index tuples; see `selection_of`.
            ref_embeddings: `[M, D]`, a separate reference set; the batch itself if None, or if it is the very tensor
                `embeddings`, and then no row is compared with itself.
            ref_labels: `[M]` or `[M, L]`, like `labels`.

        Raises:
            InputError: shapes, types or lengths that do not fit together.
        """
        return cls(**read_inputs(embeddings, labels, tuples, ref_embeddings, ref_labels))

    def matched(self, match: Matching) -> Batch:
        """The same batch, in which a match says which samples belong together.

        Raises:
            InputError: labels that the match cannot compare.
        """
        for labels in (self.anchor_labels, self.reference_labels):
            if labels is not None and match.check(labels) is not None:
                raise MetricregError(
                    f"{type(match).__name__}.check returned something; it raises an InputError for labels that it "
                    "cannot compare, and returns nothing"
                )
        return self._with(match=None if match.is_equality else match)

    def poison(self) -> Tensor:
        """NaN where an embedding is not finite, else 0. For what looks at some embeddings only and must not hide it."""
        return not_finite(self.anchors, self.references)

    # -- other views ----------------------------------------------------------------------------------------------

    def rows(self, i: int, j: int) -> Batch:
        """The same batch with only anchors i to j."""
        part = self._with(
            anchors=self.anchors[i:j],
            anchor_labels=None if self.anchor_labels is None else self.anchor_labels[i:j],
            self_index=None if self.self_index is None else self.self_index[i:j],
            selection=None if self.selection is None else self.selection.rows(i, j),
            weights=None if self.weights is None else self.weights[i:j],
            row={key: value[i:j] for key, value in self.row.items()},
        )
        part._knows(self._of_references)
        if "pairing" in self._memo:
            part._memo["pairing"] = self._pairing.rows(i, j)
        if "positive_index" in self._memo:
            index, counts = self.positive_index
            part._memo["positive_index"] = index[i:j], counts[i:j]
        return part

    def paired_as(self, other: Batch, columns: slice) -> Batch:
        """The same batch, whose references are some of another's, with what is known of the pairs of that."""
        object.__setattr__(self, "_lists", other.lists_positives)
        if "pairing" in other._memo:
            self._memo["pairing"] = other._pairing.window(columns, self.self_index)
        return self

    def standing_in(self, **changes: Any) -> Batch:
        """The same batch on other tensors of the same values: what is known of it stays known."""
        made = self.replace(**changes)
        made._knows(self._of_references)
        made._memo.update(self._memo)
        return made

    def tiles(self, size: int) -> Iterator[tuple[int, int]]:
        """Bounds of consecutive runs of at most `size` anchors; one empty run for an empty batch."""
        return ((i, min(i + size, len(self))) for i in range(0, max(len(self), 1), size))

    def map(self, function: Callable[[Batch], Tensor], size: int = 512) -> Tensor:
        """`function` of each run of anchors, concatenated: `[A, ...]` in the memory of a tile.

        For what a loss needs to know of *other* rows: call it in `prepare` and keep the result in `row` or `whole`.
        Each run is computed again in the backward pass instead of being stored.
        """
        if self._engine is not None:
            return self._engine.map(self, function)
        parts = [self.rows(i, j) for i, j in self.tiles(size)]
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():  # a compiler decides itself what is stored
            return torch.cat([function(part) for part in parts])
        return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])

    def totals(
        self, terms: Callable[[Batch], Mapping[str, Any]], symmetric: bool = False
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Sum and count of each of some terms, over all anchors, in the memory of a tile.

        For what a loss needs to know of the *whole* batch: call it in `prepare` and keep the result in `whole`.

        Args:
            terms: a pure function as `Loss.terms`.
            symmetric: whether each value is of a pair, and the same with its samples exchanged.
        """
        if self._engine is not None:
            return self._engine.totals(self, terms, symmetric)
        return {
            name: (term.bind(name, len(self), self.anchor_labels).sum(), term.count())
            for name, term in terms(self).items()
        }

    def by(self, engine: Engine) -> Batch:
        """The same batch, for which an engine does `map` and `totals`."""
        return self._with(_memo=self._memo, _of_references=self._of_references, _lists=self._lists, _engine=engine)

    @property
    def tile(self) -> int | None:
        """How many anchors the engine takes at a time; None for all at once."""
        return None if self._engine is None else self._engine.tile

    @property
    def in_tiles(self) -> bool:
        """Whether what is large may be made a part at a time; not where plain autograd is wanted."""
        return self._engine is not None and not self._engine.dense and not torch.compiler.is_compiling()

    def grouped(self) -> Batch:
        """The same samples in another order, those of a class together, where that is for tiles of the batch itself.

        For a loss that looks at what its positives are compared with, in `prepare`.
        """
        labels, engine = self.anchor_labels, self._engine
        single = labels is not None and labels.ndim == 1 and self.reference_labels is labels and not self.row
        if engine is None or engine.tile is None or not single or self.anchors is not self.references:
            return self
        if self.selection is not None or self.match is not None or not are_own_columns(self.self_index):
            return self
        assert labels is not None
        order = labels.sort(stable=True).indices
        some, labels = self.anchors[order], labels[order]
        weights = None if self.weights is None else self.weights[order]
        return self.replace(
            anchors=some, references=some, anchor_labels=labels, reference_labels=labels, weights=weights
        )

    def _with(self, **changes: Any) -> Batch:
        """A copy with some fields changed, of which nothing is known yet. dataclasses.replace takes far longer."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, _memo={}, _of_references={}, _lists=None, _engine=None)
        made.__dict__.update(changes)
        return made

    def replace(self, **changes: Any) -> Batch:
        """A copy with some fields changed; `row` and `whole` are added to.

        Raises:
            MetricregError: another field; or what is put in `row` or `whole` is no tensor, or in `row` has not a row an
                anchor.
        """
        known = [f.name for f in fields(self) if f.init]
        if not changes.keys() <= set(known):
            raise MetricregError(f"a batch has the fields {', '.join(known)}; got {', '.join(changes)}")
        for key in ("row", "whole"):
            if key in changes:
                changes[key] = getattr(self, key) | changes[key]
        made = self._with(**changes, _engine=self._engine)
        check_tensors(changes, len(made))
        if changes.keys() <= {"row", "whole"}:  # the pairs are the same
            made._knows(self._of_references)
            made._memo.update(self._memo)
        return made

    def against(self, references: Tensor, labels: Tensor) -> Batch:
        """These anchors against other rows, such as class proxies. A selection becomes `weights`.

        Raises:
            InputError: the caller gave a reference set, which would not be looked at, or embeddings of another size.
            MetricregError: not a label a row.
        """
        if self.references is not self.anchors:
            raise InputError("this objective compares embeddings with rows of its own and takes no ref_embeddings")
        check_rows(self.anchors, self.anchor_labels, references, labels)
        weights = self.row_weights()
        return self._with(
            references=references, reference_labels=labels, self_index=None, selection=None, weights=weights
        )

    def row_weights(self) -> Tensor | None:
        """How often each anchor occurs in the selection, over the most frequent one's count; None without selection.

        Where the batch is compared with itself, occurrences as a positive or negative count too.
        """
        if self.selection is None:
            return self.weights
        counts = self.selection.occurrences(len(self), self.anchors is self.references).to(self.anchors.dtype)
        return counts / counts.max().clamp(min=1.0) if len(counts) else counts


__all__ = ["Batch", "Pairs", "Selection", "Triplets"]
