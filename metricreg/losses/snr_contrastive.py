"""Signal-to-noise ratio contrastive loss."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import Unpack

from metricreg.components import Distance, LossSlots
from metricreg.distances import SNRDistance
from metricreg.losses.contrastive import ContrastiveLoss


class SNRContrastiveLoss(ContrastiveLoss):
    r"""Contrastive loss of signal-to-noise ratio distances.

    $$\ell^+ = \left[ d(a, p) - m^+ \right]_+ \qquad \ell^- = \left[ m^- - d(a, n) \right]_+ \qquad
      d(x, y) = \frac{\operatorname{var}(x - y)}{\operatorname{var}(x)}$$

    Yuan et al. 2019, "Signal-to-Noise Ratio: A Robust Distance Metric for Deep Metric Learning"; its penalty on
    features that do not add up to zero is the regularizer `zero_mean`.

    Args:
        pos_margin: distance under which a positive pair costs nothing.
        neg_margin: distance over which a negative pair costs nothing.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (SNRDistance,)
    default_distance = SNRDistance

    def __init__(self, pos_margin: float = 0.0, neg_margin: float = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(pos_margin, neg_margin, **slots)
