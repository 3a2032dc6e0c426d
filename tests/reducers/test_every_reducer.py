"""The reducers on a list of values, against the loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricreg import Reducer, Term
from metricreg import reducers as R
from tests.oracle import REDUCERS, Reduce, value_and_gradients
from tests.reference import reducers
from tests.reference.reducers import Anchors, Values

ALL: dict[str, tuple[Callable[[], Reducer], Reduce]] = REDUCERS | {
    "divisor": (R.DivisorReducer, reducers.divisor),
    "multiple": (lambda: R.MultipleReducers({"loss": R.SumReducer()}, default=R.MeanReducer()), reducers.sum_),
    "multiple by default": (lambda: R.MultipleReducers({"other": R.SumReducer()}), reducers.mean),
    "per_anchor of multiple": (
        lambda: R.PerAnchorReducer(R.MultipleReducers({"loss": R.SumReducer()})),
        partial(reducers.per_anchor, inner=reducers.sum_),
    ),
}


@st.composite
def terms(draw: st.DrawFn) -> tuple[Tensor, Tensor | None, list[int], list[int]]:
    a, m = draw(st.integers(0, 4)), draw(st.integers(0, 4))

    def table(entries: st.SearchStrategy[float], size: int = a * m) -> list[float]:
        return draw(st.lists(entries, min_size=size, max_size=size))

    values = torch.tensor(table(st.integers(-3, 8).map(lambda i: i / 8)), dtype=torch.float64).reshape(a, m)
    kind = draw(st.sampled_from(["none", "bool", "counts"]))
    weight = None
    if kind != "none":
        weight = torch.tensor(table(st.integers(0, 1 if kind == "bool" else 3))).reshape(a, m).int()
        weight = weight.bool() if kind == "bool" else weight
    labels, divisor = table(st.integers(0, 3), a), table(st.integers(0, 2), a)
    return values, weight, [int(i) for i in labels], [int(i) for i in divisor]


@pytest.mark.checks("loop", "reducer")
@pytest.mark.parametrize("name", ALL)
@given(given_term=terms(), as_list=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_reduces_like_a_loop(
    name: str, given_term: tuple[Tensor, Tensor | None, list[int], list[int]], as_list: bool
) -> None:
    values, weight, labels, divisor = given_term
    values.requires_grad_()
    anchors = torch.arange(len(values))[:, None].expand(values.shape)
    term = Term(values, weight, divisor=torch.tensor(divisor, dtype=torch.long))
    if as_list:
        flat = None if weight is None else weight.flatten()
        term = Term(values.flatten(), flat, rows=anchors.flatten(), divisor=term.divisor)
    term.bind("loss", len(values), torch.tensor(labels, dtype=torch.long))
    often = torch.ones(values.shape, dtype=torch.int) if weight is None else weight.int()
    entries = [(a, values[a, j]) for a, j in often.nonzero().tolist() for _ in range(int(often[a, j]))]
    want = ALL[name][1](Values(entries, divisor=sum(divisor)), Anchors(len(values), labels))
    got = ALL[name][0]()(term)
    pairs = zip(value_and_gradients(got, [values]), value_and_gradients(want, [values]), strict=True)
    for g, w in pairs:
        torch.testing.assert_close(g, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("reducer", "values", "want"),
    [
        (R.AvgNonZeroReducer(), [0.0, 2.0, 0.0, 3.0], 2.5),
        (R.ThresholdReducer(low=6), [3.0, 7.0, 1.0, 13.0, 5.0], 10.0),
        (R.ThresholdReducer(high=6), [3.0, 7.0, 1.0, 13.0, 5.0], 3.0),
        (R.ThresholdReducer(low=6, high=12), [3.0, 7.0, 1.0, 13.0, 5.0], 7.0),
        (R.MeanReducer(), [1.0, 2.0, 6.0], 3.0),
        (R.SumReducer(), [1.0, 2.0, 6.0], 9.0),
    ],
)
def test_worked_examples_hold(reducer: Reducer, values: list[float], want: float) -> None:
    term = Term(torch.tensor(values)).bind("loss", len(values), None)
    assert float(reducer(term)) == want


@pytest.mark.parametrize("name", ALL)
def test_a_nan_is_not_hidden(name: str) -> None:
    values = torch.tensor([[torch.nan, 0.2], [0.5, 0.7]])
    term = Term(values, divisor=torch.ones(2)).bind("loss", 2, torch.tensor([0, 1]))
    assert ALL[name][0]()(term).isnan()


@pytest.mark.parametrize("name", ALL)
def test_statistics_add_up_over_anchors(name: str) -> None:
    reducer = ALL[name][0]().for_term("loss")
    generator = torch.Generator().manual_seed(0)
    values, labels = torch.rand(5, 3, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    divisor = torch.tensor([1, 0, 2, 1, 1])

    def part(i: int, j: int) -> tuple[Tensor, ...]:
        term = Term(values[i:j], values[i:j] > 0.2, divisor=divisor[i:j])
        return reducer.statistics(term.bind("loss", j - i, labels[i:j]))

    for whole, first, second in zip(part(0, 5), part(0, 2), part(2, 5), strict=True):
        torch.testing.assert_close(whole, first + second)
