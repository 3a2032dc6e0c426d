"""Mahalanobis distance."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.components import Distance, symmetric
from metricreg.components.marks import follows_matrix
from metricreg.distances.lp import euclidean_between
from metricreg.errors import InputError
from metricreg.functional.euclidean import euclidean
from metricreg.functional.safe import safe_pow


class MahalanobisDistance(Distance):
    r"""Learned Mahalanobis distance: the Euclidean one after a linear map.

    $$d(x, y) = \sqrt{(x - y)^\top A (x - y)}^{\,\text{power}} \qquad A = L^\top L$$

    L `[rank, E]` is a parameter, `factor`; so A is positive semi-definite whatever is learned. Without a rank, L is the
    identity at first, and the distance Euclidean; with one, its rows are a random orthogonal frame, scaled such that
    distances keep their size on average. Embeddings are not normalised. The gradient at distance 0 is 0. Weinberger and
    Saul 2009, "Distance Metric Learning for Large Margin Nearest Neighbor Classification".

    Args:
        embedding_size: E, the dimension D of the embeddings, at least 1.
        rank: the rank of A, from 1 to E; E if None.
        power: exponent of the distance, greater than 0.
    """

    def __init__(
        self,
        embedding_size: Annotated[int, Field(gt=0)],
        rank: Annotated[int, Field(gt=0)] | None = None,
        power: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__(power)
        if rank is not None and rank > embedding_size:
            raise ValueError(f"rank is at most embedding_size, {embedding_size}; got {rank}")
        self.embedding_size = embedding_size
        self.rank = rank
        self.factor = nn.Parameter(torch.empty(rank or embedding_size, embedding_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin anew, as the Euclidean distance or a random projection of it."""
        if self.rank is None:
            nn.init.eye_(self.factor)
        else:
            nn.init.orthogonal_(self.factor, gain=math.sqrt(self.embedding_size / self.rank))

    def prepare(self, x: Tensor) -> Tensor:
        """The embeddings as they are; their differences are mapped, as those have more digits.

        Raises:
            InputError: another embedding size.
        """
        if x.shape[-1] != self.embedding_size:
            raise InputError(
                f"MahalanobisDistance has embedding_size {self.embedding_size}; the embeddings have {x.shape[-1]}"
            )
        return x

    def _mapped(self, x: Tensor) -> Tensor:
        return x @ self.factor.to(x.dtype).mT

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Euclidean distances of mapped rows `[X, Y]`."""
        return euclidean(x, y, self._mapped)

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`."""
        if type(self).matrix is not MahalanobisDistance.matrix or self._has_own_forward:
            return super().between(batch)
        if self.power == 2.0:
            return euclidean_between(batch, self, root=False, linear=self._mapped)
        return safe_pow(euclidean_between(batch, self, linear=self._mapped), self.power)

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        if self.power == 2.0 and type(self).matrix is MahalanobisDistance.matrix:
            return euclidean(x, y, self._mapped, root=False)
        return super()._distances(x, y)
