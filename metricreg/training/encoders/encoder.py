"""What every encoder has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from metricreg.training.section import Integer, Section

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[Integer, Field(gt=0, le=65536)]


class Encoder(Section):
    """The `encoder` section: describes a network from rows to embeddings.

    Args:
        embedding_size: D, the length of an embedding.
    """

    embedding_size: Width = 64

    @abstractmethod
    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """A network with fresh weights, rows `[N, *shape]` to embeddings `[N, D]`.

        Args:
            shape: of one row, `(features,)` or `(channels, height, width)`.
        """
