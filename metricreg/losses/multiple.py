"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.components import Loss, Miner
from metricreg.components.validation_errors import nearest
from metricreg.components.wrapper_loss import WrapperLoss
from metricreg.engine.execution import Execution
from metricreg.errors import InputError
from metricreg.reducers.multiple import modules_by_name


class MultipleLosses(WrapperLoss):
    r"""Weighted sum of losses, each with its own distance, reducer and, if given, miner.

    $$\sum_i w_i L_i$$

    Args:
        losses: at least one; a list, or a mapping of names.
        weights: factors, a list or mapping like `losses`; 1 if None.
        miners: one a loss or null, a list like `losses`, or a mapping with some of its names. A loss without one sees
            what the pipeline's miner or the caller selected; one with a miner, what that finds in the whole batch. The
            matches of the losses are for their own miners; the pipeline's miner goes by a match of its own.
    """

    def __init__(
        self,
        losses: Annotated[list[Loss], Field(min_length=1)] | Annotated[dict[str, Loss], Field(min_length=1)],
        weights: list[float] | dict[str, float] | None = None,
        miners: list[Miner | None] | dict[str, Miner] | None = None,
    ) -> None:
        super().__init__()
        named = _named(losses)
        given = {} if weights is None else _matched("weights", weights, losses, whole=True)
        mining = {} if miners is None else _matched("miners", miners, losses, whole=isinstance(losses, list))
        self.losses = modules_by_name("a loss", named)
        self.miners = nn.ModuleDict({key: miner for key, miner in mining.items() if miner is not None})
        self.weights = {key: float(given.get(key, 1.0)) for key in named}

    def _parts(self, batch: Batch) -> Iterator[tuple[str, Any, Batch]]:
        loss: Any
        for key, loss in self.losses.items():
            miner: Any = self.miners[key] if key in self.miners else None  # noqa: SIM401 - a ModuleDict has no get
            own = None if miner is None else miner.selection(loss.with_match(batch.replace(selection=None)))
            yield key, loss, batch if own is None else batch.replace(selection=own)

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """The weighted sum, each loss folded for itself."""
        values = []
        for key, loss, part in self._parts(batch):
            value = loss(part, execution=execution)
            if not isinstance(value, Tensor):
                raise InputError(f"the loss '{key}' returns terms (do_nothing), which cannot be summed; reduce them")
            values.append(self.weights[key] * value)
        return torch.stack(values).sum()

    def logits(self, embeddings: Tensor, *, part: str | None = None) -> Tensor:
        """Those of one of the losses.

        Args:
            embeddings: `[N, D]`.
            part: its name, or its position as a string.

        Raises:
            InputError: no such loss, or one without class vectors.
        """
        if part is None or part not in self.losses:
            given = "none" if part is None else f"'{part}'"
            raise InputError(f"say which part of `multiple` is asked: one of {', '.join(self.losses)}; got {given}")
        loss: Any = self.losses[part]
        found: Tensor = loss.logits(embeddings)
        return found

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """Every loss's terms, as `<name or position>/<term>`; without the weights."""
        return {
            f"{key}/{name}": term
            for key, loss, part in self._parts(batch)
            for name, term in loss.all_terms(part).items()
        }


def _named(items: Any) -> dict[str, Any]:
    return dict(items) if isinstance(items, dict) else {str(i): item for i, item in enumerate(items)}


def _matched(what: str, given: Any, losses: Any, whole: bool) -> dict[str, Any]:
    if isinstance(given, dict) != isinstance(losses, dict):
        raise ValueError(f"{what} must be a {'mapping' if isinstance(losses, dict) else 'list'}, as losses is")
    if isinstance(given, list) and len(given) != len(losses):
        raise ValueError(f"{what} has {len(given)} entries for {len(losses)} losses")
    named = _named(given)
    unknown = [key for key in named if key not in _named(losses)]
    if unknown:
        raise ValueError(f"{what} names '{unknown[0]}', which is no loss; {nearest(unknown[0], _named(losses))}")
    missing = [key for key in _named(losses) if key not in named]
    if whole and missing:
        raise ValueError(f"{what} lacks the loss '{missing[0]}'")
    return named
