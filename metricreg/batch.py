"""Batch: some anchors against all references, and what a loss may ask about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricreg.embeddings import check_rows, check_tensors, not_finite
from metricreg.errors import InputError, MetricregError
from metricreg.exclusion import FEW, all_but
from metricreg.inputs import read_inputs
from metricreg.labels import Matching, check_single, related
from metricreg.listing import Runs
from metricreg.selection import Pairs, Selection, Triplets

T = TypeVar("T")

MATCH_THEM = (
    'Sets of labels need a match that compares them: "match": "share_any" or "jaccard" in a spec, in the loss, and '
    "in a miner used alone or beside a loss made of losses"
)


@dataclass(frozen=True, eq=False)
class Batch:
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

    anchors: Tensor
    references: Tensor
    anchor_labels: Tensor | None = None
    reference_labels: Tensor | None = None
    self_index: Tensor | None = None
    selection: Selection | None = None
    match: Matching | None = None
    weights: Tensor | None = None
    row: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)
    _memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _of_references: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

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

    def __len__(self) -> int:
        """The number of anchors."""
        return self.anchors.shape[0]

    def _once(self, key: str, make: Callable[[], T]) -> T:
        # not functools.cached_property: its lock breaks torch.compile(fullgraph=True) on Python 3.11
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value

    def _label_pair(self) -> tuple[Tensor, Tensor]:
        if self.anchor_labels is None or self.reference_labels is None:
            raise InputError("this objective needs labels (and ref_labels with ref_embeddings), or tuples")
        return self.anchor_labels, self.reference_labels

    def _single_labels(self) -> tuple[Tensor, Tensor]:
        labels, ref_labels = self._label_pair()
        check_single(labels, "this objective", MATCH_THEM)
        return labels, ref_labels

    def _related(self) -> tuple[Tensor, Tensor]:
        assert self.match is not None
        positives, negatives = related(self.match, *self._label_pair())
        return self._without_self(positives), self._without_self(negatives)

    def _without_self(self, mask: Tensor) -> Tensor:
        """A mask `[A, M]` without the column that is the anchor itself."""
        if self.self_index is None or not mask.shape[1]:
            return mask
        column = self.self_index.clamp(min=0)[:, None]
        return mask.scatter(1, column, mask.gather(1, column) & (self.self_index < 0)[:, None])

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
        return replace(self, match=None if match.is_equality else match)

    # -- which pairs count ----------------------------------------------------------------------------------------

    @property
    def positives(self) -> Tensor:
        """Which references are positives of which anchor, `[A, M]`: bool, or counts where a selection repeats pairs."""
        return self._once("positives", self._positives)

    def _positives(self) -> Tensor:
        if self.selection is not None:
            return self.selection.positives(len(self), len(self.references))
        if self.match is not None:
            return self._once("related", self._related)[0]
        anchor_labels, reference_labels = self._single_labels()
        return self._without_self(anchor_labels[:, None] == reference_labels[None, :])

    @property
    def negatives(self) -> Tensor:
        """Which references are negatives of which anchor, `[A, M]`: bool, or counts where a selection repeats pairs."""
        return self._once("negatives", self._negatives)

    def _negatives(self) -> Tensor:
        if self.selection is not None:
            return self.selection.negatives(len(self), len(self.references))
        if self.match is not None:
            return self._once("related", self._related)[1]
        anchor_labels, reference_labels = self._single_labels()
        if self.lists_positives and self._alike().width * FEW <= len(self.references):
            return all_but(*self._alike().matrix(), len(self.references))
        return anchor_labels[:, None] != reference_labels[None, :]

    @property
    def positive_index(self) -> tuple[Tensor, Tensor]:
        """Each anchor's positives as columns `[A, K]`, and which of those entries count, bool `[A, K]`.

        A pair that a selection repeats stands in as many columns. O(A·K) memory, from sorted labels; with a match, the
        memory of a tile besides. Finding K waits for the device, if it is one.
        """
        return self._once("positive_index", self._positive_index)

    def _positive_index(self) -> tuple[Tensor, Tensor]:
        if self.selection is None and self.match is None:
            index, counts = self._alike().matrix()
            return index, counts if self.self_index is None else counts & (index != self.self_index[:, None])
        if self.selection is not None:
            keys, columns = self.selection.anchor, self.selection.positive
        else:
            tiles = [(i, self.rows(i, j).positives.nonzero().T) for i, j in self.tiles(512)]
            keys, columns = torch.cat([torch.stack([rows + i, columns]) for i, (rows, columns) in tiles], 1)
        return Runs.of(keys, columns, torch.arange(len(self), device=keys.device)).matrix()

    def _alike(self) -> Runs:
        """The columns of each anchor's own label, itself included if it is among them."""
        anchor_labels, _ = self._single_labels()
        return self._once("alike", lambda: Runs.of(*self._sorted_labels(), anchor_labels.long()))

    def _sorted_labels(self) -> tuple[Tensor, Tensor]:
        """The references' labels `[M]`, sorted, and the column of each; made once for all parts of a batch."""
        if "sorted_labels" not in self._of_references:
            self._of_references["sorted_labels"] = tuple(self._single_labels()[1].long().sort(stable=True))
        found: tuple[Tensor, Tensor] = self._of_references["sorted_labels"]
        return found

    @property
    def lists_positives(self) -> bool:
        """Whether what is only about positives looks at K columns, not at M.

        Not with a selection, on a GPU, where finding K would wait, or when compiling, where K is no number.
        """
        return self.selection is None and self.anchors.device.type == "cpu" and not torch.compiler.is_compiling()

    def at_positives(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of values `[A, M]`, or `[1, M]`, those of positives, `[A, K]`, and which of them count, in their shape.

        Where positives are not listed, all of them, and `positives`.
        """
        if not self.lists_positives:
            return values, self.positives
        index, counts = self.positive_index
        return (values.gather(1, index) if len(values) == len(self) else values[0][index]), counts

    def poison(self) -> Tensor:
        """NaN where an embedding is not finite, else 0. For what looks at some embeddings only and must not hide it."""
        return not_finite(self.anchors, self.references)

    # -- other views ----------------------------------------------------------------------------------------------

    def rows(self, i: int, j: int) -> Batch:
        """The same batch with only anchors i to j."""
        part = replace(
            self,
            anchors=self.anchors[i:j],
            anchor_labels=None if self.anchor_labels is None else self.anchor_labels[i:j],
            self_index=None if self.self_index is None else self.self_index[i:j],
            selection=None if self.selection is None else self.selection.rows(i, j),
            weights=None if self.weights is None else self.weights[i:j],
            row={key: value[i:j] for key, value in self.row.items()},
        )
        part._knows(self._of_references)
        if "positive_index" in self._memo:
            index, counts = self.positive_index
            part._memo["positive_index"] = index[i:j], counts[i:j]
        return part

    def standing_in(self, **changes: Any) -> Batch:
        """The same batch on other tensors of the same values: what is known of it stays known."""
        made = self.replace(**changes)
        made._knows(self._of_references)
        made._memo.update(self._memo)
        return made

    def _knows(self, of_references: dict[str, Any]) -> None:
        object.__setattr__(self, "_of_references", of_references)

    def tiles(self, size: int) -> Iterator[tuple[int, int]]:
        """Bounds of consecutive runs of at most `size` anchors; one empty run for an empty batch."""
        return ((i, min(i + size, len(self))) for i in range(0, max(len(self), 1), size))

    def map(self, function: Callable[[Batch], Tensor], size: int = 512) -> Tensor:
        """`function` of each run of anchors, concatenated: `[A, ...]` in the memory of a tile.

        For what a loss needs to know of *other* rows: call it in `prepare` and keep the result in `row` or `whole`.
        Each run is computed again in the backward pass instead of being stored.
        """
        parts = [self.rows(i, j) for i, j in self.tiles(size)]
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():  # a compiler decides itself what is stored
            return torch.cat([function(part) for part in parts])
        return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])

    def replace(self, **changes: Any) -> Batch:
        """A copy with some fields changed; `row` and `whole` are added to.

        Raises:
            MetricregError: what is put in `row` or `whole` is no tensor, or in `row` has not a row an anchor.
        """
        for key in ("row", "whole"):
            if key in changes:
                changes[key] = getattr(self, key) | changes[key]
        made = replace(self, **changes)
        check_tensors(changes, len(made))
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
        return replace(
            self, references=references, reference_labels=labels, self_index=None, selection=None, weights=weights
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
