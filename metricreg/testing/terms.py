"""Terms: what a reducer is given, in every form in which a loss gives values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metricreg.batch.terms import HingeTriplets, Term, TermKind
from metricreg.testing.inputs import Inputs

NAME = "pos_loss"
POSITIVES = 2
"""Positives of each anchor of the triplets."""


def term_of(inputs: Inputs) -> Term:
    """The embeddings `[N, D]` as the values of a term."""
    return forms_of(inputs)["values"](torch.arange(len(inputs), device=inputs.embeddings.device))


def forms_of(inputs: Inputs) -> dict[str, Callable[[Tensor], Term]]:
    """Functions that make a term of some anchors, by the form that the term has."""
    values = inputs.embeddings
    once = values > -0.5
    often = (values * 2).round().long().clamp(0, 3)

    def plain(weight: Tensor | None, kind: TermKind) -> Callable[[Tensor], Term]:
        def make(index: Tensor) -> Term:
            kept = None if weight is None else weight[index]
            return _bound(Term(values[index], kept, kind, divisor=_ones(index)), index, inputs)

        return make

    def of_anchors(index: Tensor) -> Term:
        return _bound(Term(values[index].sum(1), divisor=_ones(index)), index, inputs)

    def listed(index: Tensor) -> Term:
        row, column = once[index].nonzero(as_tuple=True)
        return _bound(Term(values[index][row, column], kind="neg_pair", rows=row, divisor=_ones(index)), index, inputs)

    def triplets(index: Tensor) -> Term:
        x, y = values[index][:, :POSITIVES], values[index]
        term = HingeTriplets(x, once[index][:, :POSITIVES], y, ~once[index], divisor=_ones(index))
        return _bound(term, index, inputs)

    return {
        "values": plain(None, "element"),
        "values of which some count": plain(once, "pos_pair"),
        "values that count several times": plain(often, "neg_pair"),
        "a value an anchor": of_anchors,
        "a list of values": listed,
        "triplets": triplets,
    }


def _bound(term: Term, index: Tensor, inputs: Inputs) -> Term:
    return term.bind(NAME, len(index), None if inputs.labels is None else inputs.labels[index])


def _ones(index: Tensor) -> Tensor:
    return torch.ones_like(index)
