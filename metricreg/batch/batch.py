"""Batch: some anchors against some references, and what a loss may ask about them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricreg.batch.comparison import Comparison
from metricreg.batch.inputs import check_proxies, check_tensors, read_inputs
from metricreg.batch.labels import Matching
from metricreg.batch.tuples import Pairs, Selection, Triplets
from metricreg.errors import InputError, MetricregError
from metricreg.functional.torch_internals import is_transformed

Rowwise = Callable[[Tensor], Tensor]
"""A function of each row of a tensor by itself."""
Made = tuple[Hashable, Rowwise]
"""What is made of each row first: its key, and the function."""


class Context(Protocol):
    """What the batch of a step asks the engine, which knows whether it is gone over in tiles."""

    @property
    def tile(self) -> int | None:
        """Anchors a tile; None for all at once."""

    @property
    def dense(self) -> bool:
        """Whether plain autograd is asked for."""

    def lists_positives(self, batch: Batch) -> bool:
        """As `Batch.lists_positives`."""

    def cache(self) -> Cache:
        """A new one, for other embeddings."""

    def map(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """As `Batch.map`."""

    def pair_sums(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """As `Batch.pair_sums`."""


class Cache(Protocol):
    """What is made of the references once a step."""

    def prepared(self, batch: Batch, key: Hashable, make: Rowwise, of: Made | None) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared`."""

    def prepared_at(self, batch: Batch, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """As `Batch.prepared_at`."""

    def of_references(self, batch: Batch, key: Hashable, make: Callable[[Tensor], Tensor], of: Made | None) -> Tensor:
        """As `Batch.of_references`."""


@dataclass(frozen=True, eq=False)
class Batch(Comparison):
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
        per_anchor: further tensors with a row an anchor, `[A, ...]`, put there by `Loss.prepare`.
        shared: further tensors about the whole batch, put there by `Loss.prepare`.
    """

    _context: Context | None = field(default=None, init=False, repr=False)
    _cache: Cache | None = field(default=None, init=False, repr=False)

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
            labels: `[N]` integers, or what a match compares, such as label sets `[N, L]`; not needed with tuples.
            tuples: `Pairs`, `Triplets`, or index tuples: (anchors, positives, negatives) or (anchors, positives,
                anchors, negatives).
            ref_embeddings: `[M, D]`, a separate set to compare with; the embeddings themselves if None.
            ref_labels: `[M]` like `labels`.

        Raises:
            InputError: shapes, types or lengths that do not fit together.
        """
        made = cls(**read_inputs(embeddings, labels, tuples, ref_embeddings, ref_labels))
        return made._with(_diagonal=made.self_index is not None)

    @classmethod
    def self_comparison(cls, embeddings: Tensor, labels: Tensor | None = None, **others: Any) -> Batch:
        """Embeddings `[N, D]` compared with each other; nothing is checked.

        Args:
            embeddings: `[N, D]`.
            labels: `[N]`, or None.
            others: further fields.
        """
        own = torch.arange(len(embeddings), device=embeddings.device)
        return cls(embeddings, embeddings, labels, labels, own, **others)._with(_diagonal=True)

    @property
    def lists_positives(self) -> bool:
        """Whether what is only about positives looks at K columns, not at M; the engine decides."""
        if self._lists is None:
            return False if self._context is None else self._context.lists_positives(self)
        return self._lists

    # -- what is made of the embeddings once a step -------------------------------------------------------------------

    def prepared(self, key: Hashable, make: Rowwise, of: Made | None = None) -> tuple[Tensor, Tensor]:
        """`make(anchors)` and `make(references)`, made once a step for all tiles.

        Args:
            key: what is made: equal for the same function.
            make: a pure function of each row by itself.
            of: what is made first, of which it is made; of the embeddings if None.
        """
        if self._cache is not None:
            return self._cache.prepared(self, key, make, of)
        x, y = (self.anchors, self.references) if of is None else self.prepared(*of)
        made = make(x)
        return made, made if self.is_self_comparison else make(y)

    def prepared_at(self, key: Hashable, make: Rowwise, index: Tensor) -> tuple[Tensor, Tensor]:
        """`make(anchors)`, and the rows of `make(references)` that an index `[A, K]` lists, `[A, K, ...]`."""
        if self._cache is not None:
            return self._cache.prepared_at(self, key, make, index)
        x, y = self.prepared(key, make)
        return x, y[index]

    def of_references(self, key: Hashable, make: Callable[[Tensor], Tensor], of: Made | None = None) -> Tensor:
        """`make` of all references of the step, whichever this batch has, or of what is made of them; made once."""
        if self._cache is not None:
            return self._cache.of_references(self, key, make, of)
        return make(self.references if of is None else self.prepared(*of)[1])

    # -- what `prepare` may ask of all anchors ------------------------------------------------------------------------

    def map(self, function: Callable[[Batch], Tensor], size: int = 512) -> Tensor:
        """`function` of each run of anchors, concatenated: `[A, ...]` in the memory of a tile.

        For what a loss needs to know of *other* rows: call it in `prepare` and keep the result in `per_anchor`, or what
        follows from all of it in `shared`. Each run is computed again in the backward pass instead of being stored.
        """
        if self._context is not None:
            return self._context.map(self, function)
        parts = [self.rows(i, j) for i, j in self.tiles(size)]
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():  # a compiler decides itself what is stored
            return torch.cat([function(part) for part in parts])
        return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])

    def pair_sums(self, function: Callable[[Batch], Tensor]) -> Tensor:
        """The sums `[A]` over references of a function of pairs `[A, M]`, the same with their samples exchanged.

        Of a batch compared with itself, each pair is looked at once. Nothing looks whether it is the same: this is for
        `LogSumExpLoss`, which does.
        """
        return function(self).sum(1) if self._context is None else self._context.pair_sums(self, function)

    @property
    def has_context(self) -> bool:
        """Whether it is of a step of the engine."""
        return self._context is not None

    @property
    def may_tile(self) -> bool:
        """Whether what is large may be made a part at a time; not where plain autograd is wanted."""
        plain = torch.compiler.is_compiling() or is_transformed()
        return self._context is not None and not self._context.dense and not plain

    @property
    def tile(self) -> int | None:
        """How many anchors the engine takes at a time; None for all at once."""
        return None if self._context is None else self._context.tile

    # -- other views --------------------------------------------------------------------------------------------------

    def rows(self, i: int, j: int) -> Batch:
        """The same batch with only anchors i to j."""
        part = self._with(
            anchors=self.anchors[i:j],
            anchor_labels=None if self.anchor_labels is None else self.anchor_labels[i:j],
            self_index=None if self.self_index is None else self.self_index[i:j],
            selection=None if self.selection is None else self.selection.rows(i, j),
            weights=None if self.weights is None else self.weights[i:j],
            per_anchor={key: value[i:j] for key, value in self.per_anchor.items()},
            _lists=self.lists_positives,
            _few=self._few,
        )
        if "pairing" in self._memo:
            part._memo["pairing"] = self._pairing.view(slice(i, j), None, part.self_index)
        if "positive_index" in self._memo:
            part._memo["positive_index"] = self._memo["positive_index"].rows(slice(i, j))
        return part

    def block(self, rows: slice, columns: slice) -> Batch:
        """Some anchors of a symmetric batch against some of its references: the same rows, or others."""
        own = torch.arange(rows.stop - rows.start, device=self.anchors.device) if rows == columns else None
        labels = self.reference_labels
        part = self._with(
            anchors=self.anchors[rows],
            references=self.references[columns],
            anchor_labels=None if labels is None else labels[rows],
            reference_labels=None if labels is None else labels[columns],
            self_index=None if self.self_index is None else own,
            _lists=self.lists_positives,
            _few=self._few,
        )
        if "pairing" in self._memo:
            part._memo["pairing"] = self._pairing.view(rows, columns, part.self_index)
        return part

    def list_once(self) -> None:
        """Make the lists that the pairs of this batch follow from for all anchors, if they are short."""
        single = self.anchor_labels is not None and self.anchor_labels.ndim == 1 and self.reference_labels is not None
        if single and self.match is None and self.lists_positives:
            self._pairing.list_once()

    def tiles(self, size: int) -> Iterator[tuple[int, int]]:
        """Bounds of consecutive runs of at most `size` anchors; one empty run for an empty batch."""
        return ((i, min(i + size, len(self))) for i in range(0, max(len(self), 1), size))

    def with_context(self, context: Context) -> Batch:
        """The same batch, for one step of the engine."""
        return self._with(_memo=self._memo, _context=context, _cache=context.cache())

    def with_tensors(self, **changes: Any) -> Batch:
        """The same batch on other tensors of the same values: what is known of its pairs stays known."""
        known = {"_memo": self._memo, "_lists": self._lists, "_few": self._few}
        return self._with(**{**known, **changes})  # torch 2.4 does not compile the union of dicts

    def _with(self, **changes: Any) -> Batch:
        """A copy with some fields changed, of whose pairs nothing is known yet."""
        if "self_index" in changes:
            changes = {"_diagonal": False, **changes}
        if "anchors" in changes or "references" in changes:
            changes = {"_cache": None if self._context is None else self._context.cache(), **changes}
        every = fields(self)
        values = {
            **{f.name: getattr(self, f.name) for f in every},
            "_memo": {},
            "_lists": None,
            "_few": None,
            **changes,
        }
        cls = Batch if type(self) is Batch else type(self)  # torch 2.4 compiles a call by name only
        made = cls(**{f.name: values[f.name] for f in every if f.init})
        for f in every:
            if not f.init:
                object.__setattr__(made, f.name, values[f.name])
        return made

    def replace(self, **changes: Any) -> Batch:
        """A copy with some fields changed; `per_anchor` and `shared` are added to.

        Raises:
            MetricregError: another field; or what is put in `per_anchor` or `shared` is no tensor, or in `per_anchor`
                has not a row an anchor.
        """
        known = [f.name for f in fields(self) if f.init]
        if not changes.keys() <= set(known):
            raise MetricregError(f"a batch has the fields {', '.join(known)}; got {', '.join(changes)}")
        for key in ("per_anchor", "shared"):
            if key in changes:
                changes[key] = {**getattr(self, key), **changes[key]}
        same_pairs = changes.keys() <= {"per_anchor", "shared"}
        made = self.with_tensors(**changes) if same_pairs else self._with(**changes)
        check_tensors(changes, len(made))
        return made

    def with_match(self, match: Matching) -> Batch:
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

    def against(self, references: Tensor, labels: Tensor) -> Batch:
        """These anchors against other rows, such as class proxies. A selection becomes `weights`.

        Raises:
            InputError: the caller gave a reference set, which would not be looked at, or embeddings of another size.
            MetricregError: not a label a row.
        """
        if not self.is_self_comparison:
            raise InputError("this objective compares embeddings with rows of its own and takes no ref_embeddings")
        check_proxies(self.anchors, self.anchor_labels, references, labels)
        weights = self.row_weights()
        return self._with(
            references=references, reference_labels=labels, self_index=None, selection=None, weights=weights
        )

    # -- as tensors ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[tuple[str, str], Tensor]:
        """Every tensor of the batch by field and key, the same one once."""
        found = {(name, ""): getattr(self, name) for name in _TENSORS}
        found |= {(name, key): value for name in ("per_anchor", "shared") for key, value in getattr(self, name).items()}
        columns: Sequence[Tensor] = [] if self.selection is None else self.selection.columns()
        found |= {("selection", str(k)): column for k, column in enumerate(columns)}
        if self.is_self_comparison:
            del found["anchors", ""]
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def rebuilder(self) -> Callable[[Mapping[tuple[str, str], Tensor]], Batch]:
        """How to make the batch again of its tensors, or of others like them; holds none itself."""
        alone, match, diagonal = self.is_self_comparison, self.match, self._diagonal
        known = {"_lists": self.lists_positives, "_few": self.has_few_positives}
        same_labels = self.anchor_labels is self.reference_labels
        empty = None
        if self.selection is not None:
            empty = self.selection.with_columns([column[:0] for column in self.selection.columns()])

        def make(tensors: Mapping[tuple[str, str], Tensor]) -> Batch:
            values: dict[str, Any] = {name: tensors.get((name, "")) for name in _TENSORS}
            values |= {
                name: {key: tensor for (owner, key), tensor in tensors.items() if owner == name}
                for name in ("per_anchor", "shared")
            }
            if alone:
                values["anchors"] = values["references"]
            if same_labels:
                values["anchor_labels"] = values["reference_labels"]
            if empty is not None:
                columns = [tensor for (owner, _), tensor in tensors.items() if owner == "selection"]
                values["selection"] = empty.with_columns(columns)
            return Batch(**values, match=match)._with(_diagonal=diagonal, **known)

        return make


_TENSORS = ("references", "anchors", "anchor_labels", "reference_labels", "self_index", "weights")

__all__ = ["Batch", "Pairs", "Selection", "Triplets"]
