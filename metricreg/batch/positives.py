"""Which references belong with which anchors by their labels, as masks and as lists of columns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg.batch.labels import Matching, check_single, related
from metricreg.batch.listing import Runs, are_own_columns
from metricreg.errors import InputError
from metricreg.functional.exclusion import FEW, Exclusion

MATCH_THEM = (
    'Sets of labels need a match that compares them: "match": "share_any" or "jaccard" in a spec, in the loss, and '
    "in a miner used alone or beside a loss made of losses"
)
SHORT = 16
"""Columns of a list that is made once for all anchors."""
TILE = 512
"""Anchors that a match compares at a time, where columns are listed."""


class Pairing:
    """What labels say of the pairs of a batch.

    Args:
        labels: `[A]` or `[A, L]`, the anchors'; None if there are none.
        ref_labels: `[M]` or `[M, L]`, the references'.
        self_index: `[A]`, the column that is the anchor itself, or -1; None if none is.
        match: what compares labels; equality if None.
        of_references: what is known of the references, of whichever anchors.
    """

    def __init__(
        self,
        labels: Tensor | None,
        ref_labels: Tensor | None,
        self_index: Tensor | None,
        match: Matching | None,
        of_references: dict[str, Any],
    ) -> None:
        if labels is None or ref_labels is None:
            raise InputError("this objective needs labels (and ref_labels with ref_embeddings), or tuples")
        if match is None:
            check_single(labels, "this objective", MATCH_THEM)
        self.labels, self.ref_labels, self.self_index, self.match = labels, ref_labels, self_index, match
        self._of_references = of_references
        self._alike: Runs | None = None
        self._listed: tuple[Tensor, Tensor] | None = None
        self._related: tuple[Tensor, Tensor] | None = None

    def positives(self) -> Tensor:
        """`[A, M]`, without the anchors themselves."""
        if self.match is not None:
            return self._by_match()[0]
        alike = self.labels[:, None] == self.ref_labels
        if self.self_index is not None and are_own_columns(self.self_index):
            return alike.fill_diagonal_(False)
        return self._without_self(alike)

    def negatives(self, lists: bool) -> Tensor:
        """`[A, M]`.

        Args:
            lists: whether the mask may be made of the columns that it leaves out, if those are few.
        """
        if self.match is not None:
            return self._by_match()[1]
        left_out = self.left_out() if lists else None
        return self.labels[:, None] != self.ref_labels if left_out is None else left_out.mask(len(self.ref_labels))

    def left_out(self) -> Exclusion | None:
        """The columns that are no negatives, if they are few."""
        if self.match is not None:
            return None
        if self._listed is not None:
            return Exclusion.of(*self._listed)
        return Exclusion.of(*self._runs().matrix()) if self._runs().width * FEW <= len(self.ref_labels) else None

    def positive_index(self) -> tuple[Tensor, Tensor]:
        """The columns of each anchor's positives `[A, K]`, and which of those entries count."""
        if self.match is None:
            index, counts = self._runs().matrix() if self._listed is None else self._listed
            return (index, counts) if self.self_index is None else _without(index, counts, self.self_index[:, None])
        parts = []
        for i in range(0, max(len(self.labels), 1), TILE):
            own = None if self.self_index is None else self.self_index[i : i + TILE]
            part = Pairing(self.labels[i : i + TILE], self.ref_labels, own, self.match, {})
            rows, columns = part.positives().nonzero().T
            parts.append(torch.stack([rows + i, columns]))
        keys, columns = torch.cat(parts, 1)
        return Runs.of(keys, columns, torch.arange(len(self.labels), device=keys.device)).matrix()

    def list_once(self) -> bool:
        """List the columns of each anchor's own label, if they are few, for all views of some of the anchors."""
        if self._runs().width <= SHORT and self._runs().width * FEW <= len(self.ref_labels):
            self._listed = self._runs().matrix()
        return self._listed is not None

    def rows(self, i: int, j: int) -> Pairing:
        """The same of anchors i to j."""
        own = None if self.self_index is None else self.self_index[i:j]
        part = Pairing(self.labels[i:j], self.ref_labels, own, self.match, self._of_references)
        if self._listed is not None:
            part._listed = self._listed[0][i:j], self._listed[1][i:j]
        return part

    def window(self, columns: slice, self_index: Tensor | None) -> Pairing:
        """The same of some references.

        Args:
            columns: which.
            self_index: the column among those that is the anchor itself; None if none is.
        """
        part = Pairing(self.labels, self.ref_labels[columns], self_index, self.match, {})
        if self._listed is not None:
            index, counts = self._listed
            inside = counts & (index >= columns.start) & (index < columns.stop)
            part._listed = (index - columns.start).clamp(0, len(part.ref_labels) - 1), inside
        return part

    def _runs(self) -> Runs:
        """The columns of each anchor's own label, itself included if it is among them."""
        if self._alike is None:
            if "sorted_labels" not in self._of_references:
                self._of_references["sorted_labels"] = self.ref_labels.long().sort(stable=True)
            keys, columns = self._of_references["sorted_labels"]
            self._alike = Runs.of(keys, columns, self.labels.long())
        return self._alike

    def _by_match(self) -> tuple[Tensor, Tensor]:
        if self._related is None:
            assert self.match is not None
            positives, negatives = related(self.match, self.labels, self.ref_labels)
            self._related = self._without_self(positives), self._without_self(negatives)
        return self._related

    def _without_self(self, mask: Tensor) -> Tensor:
        """A mask `[A, M]` without the column that is the anchor itself."""
        if self.self_index is None or not mask.shape[1]:
            return mask
        column = self.self_index.clamp(min=0)[:, None]
        return mask.scatter(1, column, mask.gather(1, column) & (self.self_index < 0)[:, None])


def _without(index: Tensor, counts: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
    """A list of columns `[A, K]` without one `[A, 1]` of each row; a column shorter, if no row needs the last then."""
    own = counts & (index == left_out)
    width = index.shape[1]
    if torch.compiler.is_compiling() or not width or not bool((own.any(1) | ~counts[:, -1]).all()):
        return index, counts & ~own
    at = torch.where(own.any(1), own.int().argmax(1), width - 1)[:, None]
    kept = torch.arange(width - 1, device=index.device)[None]
    kept = kept + (kept >= at)
    return index.gather(1, kept), counts.gather(1, kept)
