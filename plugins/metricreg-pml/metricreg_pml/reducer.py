"""Reducers of pytorch-metric-learning."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pytorch_metric_learning.reducers import ClassWeightedReducer, DivisorReducer
from torch import Tensor, nn

from metricreg import InputError, Reducer, Term
from metricreg_pml.terms import losses_of
from metricreg_pml.theirs import called, constructed


class PMLReducer(Reducer):
    """A reducer that pytorch-metric-learning computes, of whole terms.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.pml: Any = constructed(type(self).theirs, arguments)

    def reduce(self, term: Term) -> Any:
        """What it makes of the values that count; the term itself, if it does nothing."""
        if isinstance(self.pml, DivisorReducer) and term.divisor is None:
            raise InputError(
                f"the term '{term.name}' states no divisor, so that {type(self).__name__} cannot reduce it"
            )
        if isinstance(self.pml, ClassWeightedReducer) and term.labels is None:
            raise InputError(f"{type(self).__name__} needs labels")
        if not term.count():
            return term.values.flatten()[:0].sum()
        stand_in = term.values.new_zeros(term.anchors, 1)  # for the embeddings, of which it takes the number
        with called(self.pml, stand_in):
            losses = losses_of(term)
            found = self.pml(losses, stand_in, term.labels)
        if not isinstance(found, Tensor):
            return term
        hidden = losses[term.name]["losses"].detach().isnan().any()  # by those that compare with a number
        return found.reshape(()).masked_fill(hidden, torch.nan)
