"""Regularizers of pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from metricreg import InputError, Regularizer, Scalar, Term
from metricreg_pml.theirs import called, constructed, wide


class PMLRegularizer(Regularizer):
    """A penalty that pytorch-metric-learning computes.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        nn.Module.__init__(self)  # not that of a Regularizer, which has a reducer of its own
        self.pml: Any = constructed(type(self).theirs, arguments)

    def forward(self, x: Tensor) -> Tensor:
        """The penalty of a matrix `[N, D]`: a scalar."""
        name = type(self).__name__
        if x.ndim != 2:
            raise InputError(f"{name} penalises a matrix [N, D]; got a tensor {list(x.shape)}")
        if not len(x):
            return x.sum() * 0.0  # of which it makes means of nothing
        with called(self.pml, x):
            found = self.pml(wide(x))
        if not isinstance(found, Tensor):
            raise InputError(f"the reducer of {name} leaves values as they are (do_nothing); a penalty is one value")
        return found.reshape(())

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """`loss`: the penalty, reduced."""
        return {"loss": Scalar((self(x),), lambda value: value)}

    def effective_arguments(self) -> dict[str, Any]:
        """Nothing besides what was given."""
        return {}
