"""What losses on two views of the same things share."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch import Batch
from metricreg.errors import InputError


def two_views(batch: Batch, owner: str) -> tuple[Tensor, Tensor]:
    """The embeddings and the reference embeddings, `[N, D]` each: row i of one belongs to row i of the other.

    Raises:
        InputError: no reference embeddings, another number of them, or a selection of pairs or triplets.
    """
    x, y = batch.anchors, batch.references
    if batch.selection is not None:
        raise InputError(f"{owner} looks at all rows of two views, and takes no tuples and no miner; leave them out")
    if x is y:
        raise InputError(
            f"{owner} compares two views of the same things: give ref_embeddings too, a tensor whose row i belongs to "
            "row i of embeddings"
        )
    if len(x) != len(y):
        raise InputError(
            f"{owner} compares row i of embeddings with row i of ref_embeddings; there are {len(x)} and {len(y)}, "
            "and there must be as many of one as of the other"
        )
    return x, y
