"""Unreduced values in the form of either library: a dictionary of lists there, terms here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metricreg import Scalar, Term

LossDict = dict[str, dict[str, Any]]
"""Name → `losses`, whose they are, and of which sort: what `compute_loss` returns."""


def terms_of(losses: LossDict, embeddings: Tensor, labels: Tensor | None) -> dict[str, Term | Scalar]:
    """The values of a loss of pytorch-metric-learning as terms.

    Args:
        losses: what its `compute_loss` returned.
        embeddings: `[N, D]`.
        labels: `[N]`, or None.
    """
    return {name: _term(name, each, embeddings, labels) for name, each in losses.items()}


def _term(name: str, each: dict[str, Any], embeddings: Tensor, labels: Tensor | None) -> Term | Scalar:
    values, kind = each["losses"], each["reduction_type"]
    if kind == "already_reduced":
        value = values.reshape(()) if isinstance(values, Tensor) else embeddings.sum() * 0.0 + values
        return Scalar((value,), lambda total: total)
    values = values.reshape(-1)  # of some losses it is a column
    rows = each["indices"] if kind == "element" else each["indices"][0]
    count = len(embeddings)
    if kind == "element" and len(rows) != count and torch.equal(rows, torch.arange(len(rows), device=rows.device)):
        rows, labels, count = None, None, len(values)  # they are no anchors, but proxies or features
    divisor = None
    if "divisor" in each:
        divisor = torch.zeros(count, dtype=values.dtype, device=values.device)
        divisor[:1] = each["divisor"]
    return Term(values, kind=kind, rows=rows, divisor=divisor).bind(name, count, labels)


def losses_of(term: Term) -> LossDict:
    """A term in the form that reducers of pytorch-metric-learning take: what counts, in lists."""
    values, weight = term.values, term.weight
    kept = torch.ones_like(values, dtype=torch.bool) if weight is None else weight.expand_as(values)
    index = (kept != 0).nonzero(as_tuple=True)
    if kept.dtype is not torch.bool:  # what counts twice stands in the list twice
        index = tuple(each.repeat_interleave(kept[index]) for each in index)
    if not len(index[0]):
        return {term.name: {"losses": 0, "indices": None, "reduction_type": "already_reduced"}}
    rows = index[0] if term.rows is None else term.rows[index[0]]
    others = list(index[1:]) or [_place(rows)]
    length = {"element": 0, "pos_pair": 1, "neg_pair": 1, "triplet": 2}[term.kind]
    columns = (rows, *(others * 2)[:length])
    found = {
        "losses": values[index],
        "indices": columns[0] if term.kind == "element" else columns,
        "reduction_type": term.kind,
    }
    return {term.name: found if term.divisor is None else found | {"divisor": term.divisor.sum()}}


def _place(rows: Tensor) -> Tensor:
    """Which of the entries of its row each is, `[T]`."""
    order = rows.argsort(stable=True)
    sorted_rows = rows[order]
    place = torch.arange(len(rows), device=rows.device) - torch.searchsorted(sorted_rows, sorted_rows)
    return torch.empty_like(place).scatter(0, order, place)
