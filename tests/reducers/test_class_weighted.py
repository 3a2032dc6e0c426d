"""ClassWeightedReducer: labels it has no weight for."""

from __future__ import annotations

import pytest
import torch

from metricreg import InputError, SpecError, Term
from metricreg.reducers import ClassWeightedReducer


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_a_label_without_a_weight_is_refused(labels: list[int]) -> None:
    term = Term(torch.ones(2)).bind("loss", 2, torch.tensor(labels))
    with pytest.raises(InputError, match="class_weighted has 2 classes, so labels are 0 to 1; found"):
        ClassWeightedReducer([1.0, 2.0])(term)


def test_weights_are_needed() -> None:
    with pytest.raises(SpecError):
        ClassWeightedReducer([])
