"""Match: which samples belong together, by their labels."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from metricreg.component import Component


class Match(Component):
    """Says which references are positives of which anchors, and which are negatives.

    A subclass implements `positives`, or `related` where some pairs are neither. Both are symmetric: what belongs
    together does so both ways.
    """

    kind: ClassVar[str] = "match"
    is_equality: ClassVar[bool] = False
    """Whether positives are just the pairs of equal labels `[N]`, which sorting finds in less memory."""

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
        return positives, ~positives
