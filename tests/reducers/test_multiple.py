"""MultipleReducers: a reducer for each term."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from metricreg import Batch, Execution, InputError, Reducer, SpecError
from metricreg.losses import ContrastiveLoss
from metricreg.reducers import MeanReducer, MultipleReducers, PerAnchorReducer, SumReducer
from metricreg.regularizers import LpRegularizer
from tests.oracle import BALANCED, rows

LABELS = torch.tensor(BALANCED)


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=3)])
def test_each_term_meets_its_own_reducer(plan: Execution) -> None:
    x = rows(10).detach()
    loss = ContrastiveLoss(reducer=MultipleReducers({"neg_loss": SumReducer()}, default=MeanReducer()))
    terms = loss.all_terms(Batch.of(x, LABELS))
    want = MeanReducer()(terms["pos_loss"]) + SumReducer()(terms["neg_loss"])
    torch.testing.assert_close(loss(x, LABELS, execution=plan), want, rtol=1e-12, atol=0)


def test_a_reducer_for_a_term_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    loss = ContrastiveLoss(reducer=MultipleReducers({"pos_los": SumReducer()}))
    with pytest.raises(InputError, match=r"'pos_los', which this loss lacks.*pos_loss"):
        loss(rows(10), LABELS)


@pytest.mark.parametrize("name", ["type", "values", "pop", "a.b", ""])
def test_a_name_that_torch_cannot_give_to_a_module_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match=f"a reducer cannot be named '{name}'"):
        MultipleReducers({name: SumReducer()})


def test_per_anchor_takes_several_reducers_inside() -> None:
    x = rows(10).detach()
    inner: dict[str, Reducer] = {"neg_loss": SumReducer()}
    nested = ContrastiveLoss(reducer=PerAnchorReducer(MultipleReducers(inner)))
    flat = ContrastiveLoss(
        reducer=MultipleReducers({"neg_loss": PerAnchorReducer(SumReducer())}, default=PerAnchorReducer())
    )
    torch.testing.assert_close(nested(x, LABELS), flat(x, LABELS))


@pytest.mark.parametrize(
    "nested",
    [
        lambda typo: PerAnchorReducer(typo),
        lambda typo: MultipleReducers({}, default=typo),
        lambda typo: MultipleReducers({"pos_loss": typo}),
    ],
)
def test_a_misspelt_term_is_refused_inside_other_reducers_too(nested: Callable[[Reducer], Reducer]) -> None:
    reducer = nested(MultipleReducers({"typo": SumReducer()}))
    with pytest.raises(InputError, match="'typo', which this loss lacks"):
        ContrastiveLoss(reducer=reducer)(rows(10), LABELS)
    with pytest.raises(InputError, match="'typo', which this loss lacks"):
        LpRegularizer(reducer=MultipleReducers({"typo": SumReducer()}))(rows(10))
