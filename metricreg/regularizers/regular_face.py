"""Class vectors apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Distance, Regularizer, RegularizerSlots
from metricreg.distances import CosineSimilarity, DotProductSimilarity
from metricreg.functional.masked import masked_argmax

TILE_VALUES = 2**21


class RegularFaceRegularizer(Regularizer):
    r"""Pushes each row, such as a class weight, away from the row nearest to it.

    $$r(w_c) = \max_{k \ne c} s(w_c, w_k)$$

    The nearest rows are found tile by tile, in O(C · tile) memory. A single row gives 0. Zhao et al. 2019,
    "RegularFace: Deep Face Recognition via Exclusive Regularization".

    Args:
        distance: a similarity, cosine or dot_product; cosine if None.
    """

    def __init__(self, distance: Distance | None = None, **slots: Unpack[RegularizerSlots]) -> None:
        super().__init__(**slots)
        self.distance = CosineSimilarity() if distance is None else distance
        if not isinstance(self.distance, CosineSimilarity | DotProductSimilarity):
            raise ValueError(
                f"RegularFaceRegularizer works with CosineSimilarity or DotProductSimilarity, "
                f"not with {type(self.distance).__name__}"
            )

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The similarity of each row to its nearest `[N]`."""
        if len(x) < 2:
            return {"loss": Term(x.sum(1) * 0.0)}
        return {"loss": Term(self.distance.pairwise(x, x[self._nearest(x.detach())]))}

    @torch.no_grad()
    def _nearest(self, x: Tensor) -> Tensor:
        rows = torch.arange(len(x), device=x.device)
        size = max(1, TILE_VALUES // len(x))
        parts = []
        for tile in torch.split(rows, size):
            similarity = self.distance(x[tile], x)
            others = torch.ones_like(similarity, dtype=torch.bool).scatter(1, tile[:, None], False)
            parts.append(masked_argmax(similarity, others))
        return torch.cat(parts)

    def effective_arguments(self) -> dict[str, Any]:
        """The similarity and reducer in use."""
        return super().effective_arguments() | {"distance": self.distance}
