"""DivisorReducer: the divisor that a loss states."""

from __future__ import annotations

import pytest
import torch

from metricreg import InputError, Term
from metricreg.losses import ContrastiveLoss
from metricreg.reducers import DivisorReducer


def test_a_divisor_of_zero_gives_zero_with_a_graph() -> None:
    values = torch.ones(2, requires_grad=True)
    total = DivisorReducer()(Term(values, divisor=torch.zeros(2)).bind("loss", 2, None))
    assert float(total.detach()) == 0.0
    total.backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 0.0]


def test_a_loss_that_states_none_is_refused_by_the_name_of_its_term() -> None:
    with pytest.raises(InputError, match="'pos_loss' states no divisor"):
        ContrastiveLoss(reducer=DivisorReducer())(torch.zeros(2, 3), [0, 0])
