"""What the columns of a dataset are to a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metricreg import InputError, Loss, Pipeline

ONE_COLUMN = "a dataset with one column of texts and a column 'label' of integers"
TWO_COLUMNS = "a dataset with two columns of texts that belong together, and no labels"
INSTEAD = (
    "No loss of metricreg learns from scores: use a loss of sentence-transformers such as CoSENTLoss for this dataset "
    "(a trainer takes a loss for each dataset), or make 0 and 1 of the scores"
)


def comparisons(pipeline: Pipeline) -> set[str]:
    """What the losses of a pipeline compare embeddings with: `Loss.compared_with` of each."""
    return {part.compared_with for part in pipeline.modules() if isinstance(part, Loss)}


def arguments(
    pipeline: Pipeline, columns: Sequence[Tensor], labels: Tensor | None, *, in_batch_negatives: bool, first: Tensor
) -> dict[str, Any]:
    """The arguments of a pipeline's call.

    Args:
        pipeline: whose losses say what they compare embeddings with.
        columns: the embeddings of each column, `[B, D]`.
        labels: of the rows, or None.
        in_batch_negatives: whether anchors are compared with the texts of other rows, if there are no labels.
        first: a label that no earlier batch has, for rows without labels.

    Raises:
        InputError: columns or labels that the pipeline's losses cannot use.
    """
    if not columns:
        raise InputError("the dataset has no column of texts")
    if len(columns) == 1:
        return _texts(comparisons(pipeline), columns[0], labels)
    if pipeline.miner is not None and (labels is not None or not in_batch_negatives):
        raise InputError("the rows of this dataset say which texts are compared, and a miner would too; leave it out")
    if labels is not None:
        return _judged_pairs(comparisons(pipeline), columns, labels)
    return _related_texts(comparisons(pipeline), columns, in_batch_negatives, first)


def _texts(compared_with: set[str], embeddings: Tensor, labels: Tensor | None) -> dict[str, Any]:
    """Single texts with their classes."""
    if compared_with & {"own labels", "paired references"}:
        raise InputError(f"this pipeline compares two views of each sample: it needs {TWO_COLUMNS}; got one column")
    if labels is None and "own rows" not in compared_with:
        raise InputError(f"single texts need labels: give {ONE_COLUMN}; or {TWO_COLUMNS}")
    if labels is not None and labels.is_floating_point():
        raise InputError(f"labels of single texts are integers; got {labels.dtype}. Scores are of pairs. {INSTEAD}")
    return {"embeddings": embeddings, "labels": labels}


def _judged_pairs(compared_with: set[str], columns: Sequence[Tensor], labels: Tensor) -> dict[str, Any]:
    """Pairs of texts, each with 1 if they belong together and 0 if not."""
    if "own rows" in compared_with:
        raise InputError(f"this pipeline compares texts with class vectors: it needs {ONE_COLUMN}; got pairs of texts")
    if compared_with & {"own labels", "paired references"}:
        raise InputError(f"this pipeline needs {TWO_COLUMNS}; keep the pairs whose label is 1, and drop the labels")
    if len(columns) != 2:
        raise InputError(
            f"labels go with one column of texts, as classes, or with two, as 0 and 1; got {len(columns)} columns. "
            "Without labels, the second column holds positives and further columns hold negatives"
        )
    judged = labels.flatten().cpu()  # looked at several times, of which each would wait for a GPU
    if len(judged) != len(columns[0]):
        raise InputError(f"pairs have one label each, 0 or 1; got labels {list(labels.shape)} of {len(columns[0])}")
    other = judged[(judged != 0) & (judged != 1)]
    if len(other):
        raise InputError(f"labels of pairs are 1, they belong together, or 0; got {other[0].item()}. {INSTEAD}")
    positives, negatives = (
        (judged == each).nonzero()[:, 0].to(columns[0].device, non_blocking=True) for each in (1, 0)
    )
    return {
        "embeddings": columns[0],
        "ref_embeddings": columns[1],
        "tuples": (positives, positives, negatives, negatives),
    }


def _related_texts(
    compared_with: set[str], columns: Sequence[Tensor], in_batch_negatives: bool, first: Tensor
) -> dict[str, Any]:
    """Rows of an anchor, a positive, and perhaps negatives."""
    anchors, count = columns[0], len(columns[0])
    if "own rows" in compared_with:
        raise InputError(
            f"this pipeline compares texts with class vectors: it needs {ONE_COLUMN}; got {len(columns)} columns of "
            "texts without labels"
        )
    if compared_with & {"own labels", "paired references"} and len(columns) != 2:
        raise InputError(f"this pipeline compares two views of each sample: it needs {TWO_COLUMNS}; got {len(columns)}")
    if "own labels" in compared_with:
        return {"embeddings": anchors, "ref_embeddings": columns[1]}
    references = torch.cat(list(columns[1:]))
    if not in_batch_negatives:
        return {"embeddings": anchors, "ref_embeddings": references, "tuples": _listed(references, count)}
    labels = first + torch.arange(len(references), device=anchors.device)  # negatives have labels that no anchor has
    return {"embeddings": anchors, "labels": labels[:count], "ref_embeddings": references, "ref_labels": labels}


def _listed(references: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Triplets of each row's own texts, as rows of the references, `[count * columns]`."""
    if len(references) == count:
        raise InputError(
            "with in_batch_negatives=False negatives are those of a row's own: the dataset needs a third column; got "
            "an anchor and a positive"
        )
    negatives = torch.arange(count, len(references), device=references.device)
    rows = negatives % count
    return rows, rows, negatives
