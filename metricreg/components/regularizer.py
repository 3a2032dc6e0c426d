"""Regularizer: a penalty on embeddings, weights or proxies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.components.component import Component, create
from metricreg.components.reducer import Reducer, buffer_versions
from metricreg.engine.evaluate import bind_terms, reduce_terms, type_and_shape
from metricreg.errors import InputError, MetricregError
from metricreg.functional.precision import at_least_float32, full_precision


class RegularizerSlots(TypedDict, total=False):
    """What every regularizer that lists values takes besides its own parameters."""

    reducer: Reducer | None


class Regularizer(Component):
    """A penalty on the rows of a matrix: embeddings `[N, D]`, class weights or proxies `[C, D]`.

    A subclass implements `terms`, as a loss does.

    Args:
        reducer: how the values of the rows become one; if None, what the regularizer names as its default.
    """

    kind: ClassVar[str] = "regularizer"

    any_shape: ClassVar[bool] = False
    """Whether it is defined for a tensor of any shape, such as a bias or the kernel of a convolution."""
    default_reducer: ClassVar[Callable[[], Reducer]] = partial(create, "reducer", "mean")
    """What makes the reducer where none is given: the registered `mean`."""

    def __init__(self, reducer: Reducer | None = None) -> None:
        super().__init__()
        self.reducer = type(self).default_reducer() if reducer is None else reducer

    @abstractmethod
    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The unreduced penalties of a matrix `[N, D]`."""

    def forward(self, x: Tensor) -> Tensor:
        """The penalty of a matrix `[N, D]`: a scalar. Half precision is computed in float32."""
        if x.ndim != 2 and not self.any_shape:
            raise InputError(f"{type(self).__name__} penalises a matrix [N, D]; got a tensor {list(x.shape)}")
        x = at_least_float32(x)
        with full_precision(x.device.type):
            batch, before = Batch(x, x), buffer_versions(self.reducer)
            values = reduce_terms(bind_terms(self.terms(x), batch, self.terms), self.reducer).values
        self.reducer.check_terms(values)
        self.reducer.check_unchanged(before)
        if not values:
            raise MetricregError(f"{type(self).__name__}.terms gave no term with a value; a penalty is one")
        for name, value in values.items():
            if not isinstance(value, Tensor):
                raise InputError(
                    f"the reducer of {type(self).__name__} leaves the term '{name}' as it is (do_nothing); a penalty "
                    "is one value, so choose a reducer that makes one"
                )
        return torch.stack([value.reshape(()) for value in values.values()]).sum()

    def effective_arguments(self) -> dict[str, Any]:
        """The reducer in use."""
        return {"reducer": self.reducer}


def penalty(regularizer: Regularizer, x: Tensor, weight: float) -> Scalar:
    """The weighted penalty of a matrix, as a term of a loss.

    Raises:
        MetricregError: the regularizer made more than one value.
    """
    found = regularizer(x)
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise MetricregError(
            f"the regularizer {type(regularizer).__name__} made {type_and_shape(found)} of a matrix {list(x.shape)}; a "
            "penalty is one value"
        )
    return Scalar((weight * found,), lambda value: value)
