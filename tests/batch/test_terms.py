"""Term: sums and counts of unreduced values; HingeTriplets against the values it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricreg import HingeTriplets, MetricregError, Term
from tests.oracle import value_and_gradients

VALUES = torch.tensor([[0.0, 2.0, 3.0], [1.0, -1.0, 0.5]], dtype=torch.float64)
BOUNDS = [(None, None), (0.0, None), (-1.0, None), (0.5, None), (None, 0.5), (None, 0.0), (None, -1.0), (0.5, 1.25)]
BOUNDS += [(-0.5, 0.75), (0.0, 0.25), (-2.0, -1.0)]


def bound(term: Term, anchors: int = 2) -> Term:
    return term.bind("loss", anchors, None)


def test_sum_and_count_are_of_the_values_that_count() -> None:
    every = bound(Term(VALUES))
    assert (float(every.sum()), int(every.count())) == (5.5, 6)
    some = bound(Term(VALUES, VALUES > 0))
    assert (float(some.sum()), int(some.count())) == (6.5, 4)
    repeated = bound(Term(VALUES, torch.tensor([[0, 1, 2], [3, 0, 0]])))
    assert (float(repeated.sum()), int(repeated.count())) == (2.0 + 6.0 + 3.0, 6)
    assert repeated.count().dtype is torch.int64


def test_a_weight_broadcasts_to_the_values() -> None:
    term = bound(Term(VALUES, torch.tensor([[True], [False]])))
    assert (float(term.sum()), int(term.count())) == (5.0, 3)
    total, count = term.per_anchor()
    assert (total.tolist(), count.tolist()) == ([5.0, 0.0], [3, 0])


def test_other_values_and_conditions_may_stand_in() -> None:
    term = bound(Term(VALUES, torch.tensor([[0, 1, 2], [3, 0, 0]])))
    assert float(term.sum(VALUES.square())) == 4.0 + 2 * 9.0 + 3.0
    assert int(term.count(VALUES > 1)) == 3


@pytest.mark.parametrize(
    ("low", "high", "total", "count"),
    [
        (None, None, [5.0, 0.5], [3, 3]),
        (0.0, None, [5.0, 1.5], [2, 2]),
        (None, 1.0, [0.0, -0.5], [1, 2]),
        (0.0, 3.0, [2.0, 1.5], [1, 2]),
        (9.0, None, [0.0, 0.0], [0, 0]),
    ],
)
def test_bounds_are_strict(low: float | None, high: float | None, total: list[float], count: list[int]) -> None:
    got = bound(Term(VALUES)).per_anchor(low, high)
    assert (got[0].tolist(), got[1].tolist()) == (total, count)


def test_a_nan_is_inside_any_bounds() -> None:
    values = torch.tensor([[torch.nan, 1.0], [0.5, 1.0]])
    total, count = bound(Term(values)).per_anchor(0.6, 0.7)
    assert total.isnan().tolist() == [True, False]
    assert count.tolist() == [1, 0]


def test_a_value_without_weight_may_be_anything() -> None:
    values = torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0]], requires_grad=True)
    for weight in (torch.tensor([False, True]), torch.tensor([0, 1])):
        total = bound(Term(values, weight.expand(2, 2))).sum()
        assert float(total.detach()) == 2.0
        assert value_and_gradients(total, [values])[1].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_listed_values_belong_to_the_rows_they_name() -> None:
    term = bound(Term(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1, 2, 1]), rows=torch.tensor([2, 0, 2])), 3)
    total, count = term.per_anchor()
    assert (total.tolist(), count.tolist()) == ([4.0, 0.0, 5.0], [2, 0, 2])
    assert (float(term.sum()), int(term.count())) == (9.0, 4)


def test_values_of_one_an_anchor_and_of_triplets_are_summed_alike() -> None:
    total, count = bound(Term(VALUES[:, 0])).per_anchor()
    assert (total.tolist(), count.tolist()) == ([0.0, 1.0], [1, 1])
    triplets = torch.arange(12.0).reshape(2, 2, 3)
    total, count = bound(Term(triplets, triplets > 2)).per_anchor()
    assert (total.tolist(), count.tolist()) == ([12.0, 51.0], [3, 6])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"values": None}, "a Term takes a tensor as values; got NoneType"),
        ({"values": VALUES, "weight": "pos_pair"}, "a Term takes a tensor as weight; got str"),
        ({"values": VALUES[0], "rows": [0, 0, 1]}, "a Term takes a tensor as rows; got list"),
        ({"values": VALUES, "divisor": 2.0}, "a Term takes a tensor as divisor; got float"),
        (
            {"values": VALUES, "kind": "positive"},
            "or 'element' of any other value, such as one an anchor; got 'positive'",
        ),
    ],
)
def test_what_a_term_is_made_of_is_checked(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(MetricregError, match=says):
        Term(**arguments)


@pytest.mark.parametrize("kind", ["pos_pair", "neg_pair", "triplet"])
def test_a_value_an_anchor_is_of_no_pair(kind: Any) -> None:
    says = f"term 'loss' has a value an anchor, and its kind is '{kind}'; leave the kind out, or say with rows="
    with pytest.raises(MetricregError, match=says):
        bound(Term(VALUES[:, 0], kind=kind))
    bound(Term(VALUES[0], kind=kind, rows=torch.zeros(VALUES.shape[1], dtype=torch.int64)))


def test_rows_are_integers() -> None:
    with pytest.raises(MetricregError, match=r"term 'loss' has rows of torch.float32; rows are anchors"):
        bound(Term(VALUES[0], rows=torch.zeros(3)))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (0, 2, 3)])
def test_no_anchors_sum_to_zero(shape: tuple[int, ...]) -> None:
    term = bound(Term(torch.zeros(shape)), 0)
    assert (float(term.sum()), int(term.count())) == (0.0, 0)
    assert term.per_anchor()[0].shape == (0,)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (lambda: Term(torch.zeros(3)), "'loss' has values of shape \\(3,\\) for 2 anchors"),
        (lambda: Term(torch.zeros(())), "'loss' has values of shape"),
        (lambda: Term(torch.zeros(2, 3), torch.ones(2, 4)), "needs the same number of axes"),
        (lambda: Term(torch.zeros(2, 3), torch.ones(1, 2, 3)), "needs the same number of axes"),
        (lambda: Term(torch.zeros(2, 3), rows=torch.zeros(2)), "and rows \\(2,\\)"),
        (lambda: Term(torch.zeros(2), divisor=torch.zeros(3)), "divisor \\(3,\\) for 2 anchors"),
        (lambda: HingeTriplets(*[torch.zeros(3, 2)] * 4), "with A = 2"),
        (lambda: HingeTriplets(torch.zeros(2, 1), torch.zeros(2, 2), *[torch.zeros(2, 3)] * 2), "needs x, wx"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(term: Callable[[], Term], message: str) -> None:
    with pytest.raises(MetricregError, match=message):
        bound(term())


# -- HingeTriplets ----------------------------------------------------------------------------------------------------


def hinges(x: Tensor, wx: Tensor, y: Tensor, wy: Tensor) -> tuple[Term, Term]:
    """The sorted form, and the values it stands for."""
    short = HingeTriplets(x, wx, y, wy).bind("loss", len(x), None)
    values = (x[:, :, None] + y[:, None, :]).relu()
    weight = wx[:, :, None].long() * wy[:, None, :].long()
    return short, bound(Term(values, weight, kind="triplet"), len(x))


quarters = st.integers(-6, 6).map(lambda i: i / 4)  # exact sums, so that values lie on the bounds, and repeat


@st.composite
def hinge_inputs(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, k, m = draw(st.integers(0, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 5))

    def table(width: int, entries: st.SearchStrategy[float]) -> Tensor:
        return torch.tensor(draw(st.lists(entries, min_size=a * width, max_size=a * width))).reshape(a, width)

    counts = draw(st.sampled_from([1, 3]))
    wy = table(m, st.integers(0, counts)).int()
    wx = table(k, st.integers(0, 1)).bool()
    return table(k, quarters).double(), wx, table(m, quarters).double(), wy.bool() if counts == 1 else wy


@given(inputs=hinge_inputs(), bounds=st.sampled_from(BOUNDS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_sorted_hinges_sum_and_count_like_the_values_they_stand_for(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor], bounds: tuple[float | None, float | None]
) -> None:
    x, y = inputs[0].requires_grad_(), inputs[2].requires_grad_()
    short, made = hinges(x, inputs[1], y, inputs[3])
    (total, count), (wanted, number) = short.per_anchor(*bounds), made.per_anchor(*bounds)
    assert count.tolist() == number.tolist()
    assert count.dtype is torch.int64
    slope = torch.arange(1.0, len(x) + 1, dtype=torch.float64)
    got, want = value_and_gradients((slope * total).sum(), [x, y]), value_and_gradients((slope * wanted).sum(), [x, y])
    torch.testing.assert_close(total, wanted, rtol=1e-12, atol=1e-12)
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(short.sum(), made.sum(), rtol=1e-12, atol=1e-12)
    assert int(short.count()) == int(made.count())


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("where", ["x", "y"])
def test_a_nan_among_hinges_spoils_exactly_its_own_anchor(
    where: str, place: int, bounds: tuple[float | None, float | None]
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 3, generator=generator), torch.randn(4, 5, generator=generator)
    wx, wy = torch.ones(4, 3, dtype=torch.bool), torch.ones(4, 5, dtype=torch.int32)
    wx[2], wy[3] = False, 0  # no positives, and no negatives: no triplet for a NaN to be in
    (x if where == "x" else y)[place, 1] = torch.nan
    short, made = hinges(x, wx, y, wy)
    got, want = short.per_anchor(*bounds)[0], made.per_anchor(*bounds)[0]
    assert got.isnan().tolist() == want.isnan().tolist() == [a == place and a < 2 for a in range(4)]


def test_the_values_of_hinges_are_made_if_somebody_asks() -> None:
    x, y = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 1.5, -3.0]])
    wx, wy = torch.tensor([[True, True]]), torch.tensor([[1, 0, 2]])
    short = HingeTriplets(x, wx, y, wy).bind("loss", 1, None)
    assert short.values.tolist() == [[[1.5, 2.5, 0.0], [0.0, 0.0, 0.0]]]
    assert short.weight is not None
    assert short.weight.tolist() == [[[1, 0, 2], [1, 0, 2]]]
    assert float(short.sum(short.values.square())) == 2.25
    assert int(short.count(short.values > 1)) == 1
    assert HingeTriplets(x, wx, y, wy.bool()).weight.dtype is torch.bool


def test_hinges_have_a_second_derivative_of_zero() -> None:
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0.6, 1.5, -3.0]], dtype=torch.float64, requires_grad=True)
    wx, wy = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    assert torch.autograd.gradgradcheck(lambda a, b: HingeTriplets(a, wx, b, wy).per_anchor(0.0, 9.0)[0].sum(), (x, y))
