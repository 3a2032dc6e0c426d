"""Calls as of another library are answered with what is meant here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import Loss, RegistrationError, Registry
from metricreg.losses import ContrastiveLoss

X, LABELS = torch.randn(8, 4), torch.arange(8) % 2


@pytest.mark.parametrize("objective", [ContrastiveLoss(), metricreg.build({"loss": "contrastive"})])
def test_habits_of_another_library_are_answered(objective: Any) -> None:
    found = metricreg.create("miner", "multi_similarity")(X, LABELS)
    with pytest.raises(TypeError, match="tuples="):
        objective(X, LABELS, found)
    for theirs, ours in {"indices_tuple": "tuples", "ref_emb": "ref_embeddings"}.items():
        with pytest.raises(TypeError, match=f"'{theirs}' is called '{ours}' here"):
            objective(X, LABELS, **{theirs: found})
    objective(X, LABELS, tuples=found)


def test_a_loss_made_of_losses_has_no_slots_of_its_own() -> None:
    class Wrapping(Loss):
        def __init__(self, loss: Loss, reducer: metricreg.Reducer | None = None) -> None:
            super().__init__(reducer=reducer)
            self.loss = loss

        def terms(self, batch: Any) -> Any:
            return {}

        def evaluate(self, batch: Any, execution: Any) -> Any:
            return self.loss(batch, execution=execution)

    with pytest.raises(RegistrationError, match=r"leave 'reducer' out .*WrapperLoss"):
        metricreg.register(Wrapping, registry=Registry())
