"""Dynamic-margin ArcFace."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.components.proxy_loss import ProxySlots
from metricreg.losses.subcenter_arcface import SubCenterArcFaceLoss

Degrees = Annotated[float, Field(ge=0, le=180)]


class DynamicArcFaceLoss(SubCenterArcFaceLoss):
    r"""Sub-center ArcFace with a margin for each class, the larger the fewer samples the class has.

    $$m_c = a\, n_c^{-\lambda} + b$$

    n are the sizes of the classes in the training set; a and b are such that the smallest class has the upper bound as
    its margin and the largest the lower, all the upper one if they are of one size. The margins are part of the state.
    The rest is as in `subcenter_arcface`. Ha et al. 2020, "Google Landmark Recognition 2020 Competition Third Place
    Solution".

    Args:
        class_counts: n, how many samples each of the C classes has, at least 1 each; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin_bounds: the least and the largest margin, in degrees, 0 to 180.
        power: lambda, greater than 0.
        scale: s, greater than 0.
        sub_centers: how many centers a class has, at least 1.
    """

    margins: Tensor

    def __init__(
        self,
        class_counts: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin_bounds: tuple[Degrees, Degrees] = (2.86, 28.6),
        power: Annotated[float, Field(gt=0)] = 0.25,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        sub_centers: Annotated[int, Field(gt=0)] = 3,
        **slots: Unpack[ProxySlots],
    ) -> None:
        lower, upper = margin_bounds
        if lower > upper:
            raise ValueError(f"the lower of margin_bounds, {lower}, is above the upper, {upper}")
        super().__init__(len(class_counts), embedding_size, upper, scale, sub_centers, **slots)
        self.power = power
        rarity = torch.tensor(class_counts, dtype=torch.float64) ** -power
        least, largest = rarity.aminmax()
        share = torch.where(largest > least, (rarity - least) / (largest - least), 1.0)
        self.register_buffer("margins", (lower + (upper - lower) * share).deg2rad().to(self.proxies.dtype))

    def angle(self, cosine: Tensor, target: Tensor) -> Tensor:
        """The margins of the anchors' classes `[A, 1]`, in radians."""
        return self.margins.to(cosine.dtype)[target]
