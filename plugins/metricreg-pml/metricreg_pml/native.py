"""Components of metricreg in the form in which pytorch-metric-learning calls its own."""

from __future__ import annotations

from typing import Any

from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.reducers import BaseReducer
from torch import Tensor, nn

from metricreg import Distance, InputError, Loss, Miner, Reducer, Scalar
from metricreg_pml.terms import LossDict, terms_of


def adapted(value: Any) -> Any:
    """What pytorch-metric-learning takes in the place of a component, alone or in a list or mapping."""
    if isinstance(value, dict):
        return {name: adapted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [adapted(each) for each in value]
    if hasattr(type(value), "theirs"):
        return value.pml
    adapter = next((adapter for kind, adapter in ADAPTERS.items() if isinstance(value, kind)), None)
    return value if adapter is None else adapter(value)  # a regularizer is called in the same way


class NativeDistance(BaseDistance):  # type: ignore[misc] # that library has no types
    """A distance of metricreg's."""

    def __init__(self, native: Distance) -> None:
        super().__init__(normalize_embeddings=False, is_inverted=native.is_inverted)
        self.native = native

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        """Distances `[N, M]`."""
        found: Tensor = self.native(query_emb, ref_emb)
        return found

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Distances of the same rows, `[N]`."""
        return self.native.pairwise(query_emb, ref_emb)


class NativeReducer(BaseReducer):  # type: ignore[misc]
    """A reducer of metricreg's."""

    def __init__(self, native: Reducer) -> None:
        super().__init__()
        self.native = native

    def forward(self, loss_dict: LossDict, embeddings: Tensor, labels: Tensor | None) -> Tensor:
        """The sum of what it makes of each list."""
        total = embeddings.sum() * 0.0
        for name, term in terms_of(loss_dict, embeddings, labels).items():
            value = term.finalize(*term.statistics) if isinstance(term, Scalar) and term.finalize else self.native(term)
            if not isinstance(value, Tensor):
                raise InputError(f"{type(self.native).__name__} leaves the term '{name}' as it is; use pml/do_nothing")
            total = total + value.reshape(())
        return total


class NativeMiner(nn.Module):
    """A miner of metricreg's."""

    def __init__(self, native: Miner) -> None:
        super().__init__()
        self.native = native

    def forward(
        self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor | None = None, ref_labels: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Index lists."""
        columns: tuple[Tensor, ...] = self.native(embeddings, labels, ref_emb, ref_labels).columns()
        return columns


class NativeLoss(nn.Module):
    """A loss of metricreg's, in MultipleLosses."""

    def __init__(self, native: Loss) -> None:
        super().__init__()
        self.native = native

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        """The value of the batch."""
        found: Tensor = self.native(embeddings, labels, tuples=indices_tuple)
        return found


ADAPTERS: dict[type[Any], Any] = {
    Distance: NativeDistance,
    Reducer: NativeReducer,
    Miner: NativeMiner,
    Loss: NativeLoss,
}
