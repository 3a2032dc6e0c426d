"""What a caller hands in, checked: the fields of a batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metricreg.batch.embeddings import read_embeddings, together
from metricreg.batch.labels import check_alike, read_labels
from metricreg.batch.listing import own_columns
from metricreg.batch.tuples import selection_of
from metricreg.errors import InputError


def read_inputs(embeddings: Any, labels: Any, tuples: Any, ref_embeddings: Any, ref_labels: Any) -> dict[str, Any]:
    """The fields of a `Batch`; the arguments are those of `Batch.of`.

    Raises:
        InputError: shapes, types or lengths that do not fit together.
    """
    anchors = read_embeddings("embeddings", embeddings)
    anchor_labels = read_labels("labels", labels, "embeddings", anchors)
    if ref_embeddings is None or ref_embeddings is embeddings:
        if ref_embeddings is None and ref_labels is not None:
            raise InputError("ref_labels were given without ref_embeddings")
        references, reference_labels = anchors, anchor_labels
        if ref_labels is not None:
            reference_labels = read_labels("ref_labels", ref_labels, "ref_embeddings", references)
        self_index: Tensor | None = own_columns(anchors)
    else:
        references = read_embeddings("ref_embeddings", ref_embeddings)
        reference_labels = read_labels("ref_labels", ref_labels, "ref_embeddings", references)
        self_index = None
        anchors, references = together(anchors, references)
        if tuples is None and (anchor_labels is None) != (reference_labels is None):
            raise InputError("give both labels and ref_labels, or neither")
    check_alike(anchor_labels, reference_labels)
    selection = None if tuples is None else selection_of(tuples, len(anchors), len(references), anchors.device)
    return {
        "anchors": anchors,
        "references": references,
        "anchor_labels": anchor_labels,
        "reference_labels": reference_labels,
        "self_index": self_index,
        "selection": selection,
    }
