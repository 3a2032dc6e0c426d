"""Match: which samples belong together, by their labels."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from metricreg.components.component import Component


class Match(Component):
    """Says which references are positives of which anchors, and which are negatives.

    A subclass implements `positives`, and `related` too where some pairs are neither; none is both. Both are symmetric:
    what belongs together does so both ways.
    """

    kind: ClassVar[str] = "match"

    @property
    def is_equality(self) -> bool:
        """Whether positives are just the pairs of equal labels `[N]`, which sorting finds in less memory."""
        return False

    def check(self, labels: Tensor) -> None:
        """Refuse labels that this match cannot compare, `[N]` or `[N, L]`, once a step.

        Raises:
            InputError: what was given, and what is expected.
        """

    @abstractmethod
    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        """Which references `[M]` or `[M, L]` belong to which anchors `[A]` or `[A, L]`: bool `[A, M]`.

        That no anchor is its own positive or negative is not its concern.
        """

    def related(self, labels: Tensor, ref_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Positives and negatives, bool `[A, M]` each; every pair that is no positive is a negative."""
        positives = self.positives(labels, ref_labels)
        if not isinstance(positives, Tensor) or positives.dtype is not torch.bool:
            return positives, positives  # no masks, which is for the caller to say
        return positives, ~positives
