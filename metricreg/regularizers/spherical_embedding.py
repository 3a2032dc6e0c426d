"""Spherical embedding constraint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer, RegularizerSlots


class SphericalEmbeddingRegularizer(Regularizer):
    r"""Pulls all embeddings to one sphere: the length of each to the mean length of the batch.

    $$r(x_i) = \left( \lVert x_i \rVert - \mu \right)^2 \qquad \mu = \frac1N \sum_j \lVert x_j \rVert$$

    For losses of the angles between embeddings, which leave lengths free. Zhang et al. 2020, "Deep Metric Learning with
    Spherical Embedding".
    """

    def __init__(self, **slots: Unpack[RegularizerSlots]) -> None:
        super().__init__(**slots)

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """Each row's squared deviation `[N]`."""
        lengths = torch.linalg.vector_norm(x, dim=1)
        mean = lengths.mean() if len(x) else lengths.sum()
        return {"loss": Term((lengths - mean).square())}
