"""The tiled plan against the dense one, and what the engine promises to those who write losses and reducers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from metricreg import Batch, Distance, Execution, InputError, Loss, MetricregError, Reducer, Scalar, SpecError, Term
from metricreg import distances as D
from metricreg import losses as L
from metricreg import reducers as R
from metricreg.batch.positives import SHORT
from metricreg.components import by_value, symmetric
from metricreg.engine import execution
from metricreg.engine.execution import CPU_TILE_VALUES, MAX_TILE_GROWTH, MIN_TILE_ANCHORS
from metricreg.engine.tiled import Sweep
from tests.largest_tensor import LargestTensor
from tests.oracle import (
    AT_ONCE,
    BALANCED,
    DIM,
    DISTANCES,
    LOSSES,
    PAIR_LOSSES,
    REDUCERS,
    SCENARIOS,
    UNREDUCED,
    assert_close,
    batch,
    rows,
    takes,
    value_and_gradients,
    with_references,
)

DENSE = Execution("dense")
LABELS = torch.tensor(BALANCED)


def tiles(size: int) -> Execution:
    return Execution("tiled", tile=size)


def assert_tiled_is_dense(
    loss: Loss, x: Tensor, labels: Any, tolerance: float = 1e-12, sizes: tuple[int, ...] = (1, 3, 7, 100), **more: Any
) -> list[Tensor]:
    leaves = [x, *(v for v in more.values() if isinstance(v, Tensor) and v.requires_grad), *loss.parameters()]
    want = value_and_gradients(loss(x, labels, execution=DENSE, **more), leaves)
    for size in sizes:
        got = value_and_gradients(loss(x, labels, execution=tiles(size), **more), leaves)
        assert_close(got, want, tolerance, f"tiles of {size}")
    return want


@given(
    labels=st.lists(st.integers(0, 3), max_size=12),
    ref_labels=st.none() | st.lists(st.integers(0, 3), max_size=9),
    size=st.integers(1, 13),
    pair=st.sampled_from([(name, d) for name in sorted(PAIR_LOSSES) for d in sorted(DISTANCES) if takes(name, d)]),
    reducer=st.sampled_from(sorted(REDUCERS)),
    seed=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_tiled_is_dense_for_any_batch(
    labels: list[int], ref_labels: list[int] | None, size: int, pair: tuple[str, str], reducer: str, seed: int
) -> None:
    name, distance = pair
    slots = {} if name in UNREDUCED else {"reducer": REDUCERS[reducer][0]()}
    loss = PAIR_LOSSES[name](distance=DISTANCES[distance][0](), **slots)
    case = batch(labels, seed)
    more: dict[str, Any] = {}
    if ref_labels is not None:
        more = {"ref_embeddings": rows(len(ref_labels), seed + 1), "ref_labels": ref_labels}
    assert_tiled_is_dense(loss, case.x, case.labels, sizes=(size,), **more)


@given(
    triplets=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 7)), max_size=14),
    as_pairs=st.booleans(),
    size=st.integers(1, 7),
    name=st.sampled_from(sorted(PAIR_LOSSES)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_tiled_is_dense_for_any_tuples(
    triplets: list[tuple[int, int, int]], as_pairs: bool, size: int, name: str
) -> None:
    a, p, n = ([t[k] for t in triplets] for k in range(3))
    case = with_references([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2, 0, 1])
    tuples = (a, p, a, n) if as_pairs else (a, p, n)
    more = {"ref_embeddings": case.ref, "ref_labels": case.ref_labels, "tuples": tuples}
    assert_tiled_is_dense(PAIR_LOSSES[name](), case.x, case.labels, sizes=(size,), **more)


# -- what carries the gradient ----------------------------------------------------------------------------------------


class Parts(Loss):
    """A term of an anchor's own, one that only some anchors have, and a statistic with several entries."""

    def __init__(self, first: bool = True, late: bool = True, wide: bool = True) -> None:
        super().__init__(reducer=R.SumReducer())
        self.first, self.late, self.wide = first, late, wide

    def terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        found: dict[str, Term | Scalar] = {}
        norms = batch.anchors.square().sum(1)
        if self.first:
            found["first"] = Term(norms.sin())
        if self.late:
            assert batch.anchor_labels is not None
            some = batch.anchor_labels == 2
            late = norms[some].exp().sum() if bool(some.any()) else norms.new_zeros(())  # often without a graph
            found["late"] = Scalar((late, some.sum()), lambda total, count: (total + count).log())
        if self.wide:
            found["wide"] = Scalar((batch.anchors.sum(0),), lambda sums: sums.square().sum())
        return found


@pytest.mark.parametrize(("first", "late", "wide"), [c for c in itertools.product([True, False], repeat=3) if any(c)])
@pytest.mark.parametrize("labels", [[0, 0, 1, 2, 0, 0], [2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2]])
def test_any_statistics_may_carry_the_gradient_in_any_tile(
    first: bool, late: bool, wide: bool, labels: list[int]
) -> None:
    want = assert_tiled_is_dense(
        Parts(first, late, wide), rows(6), labels, sizes=(1, 2, 3, DIM, 6)
    )  # `wide` is as long as a tile
    assert want[1].abs().max() > 0


def test_the_gradient_of_the_loss_is_scaled_by_what_follows() -> None:
    for name in ("ntxent", "contrastive"):  # one output with a gradient, and two
        x, loss = rows(10), LOSSES[name]()
        want = value_and_gradients((loss(x, LABELS, execution=DENSE) * 3.0).square(), [x])
        assert_close(value_and_gradients((loss(x, LABELS, execution=tiles(3)) * 3.0).square(), [x]), want, 1e-12)


def test_a_graph_that_is_kept_gives_its_gradient_again() -> None:
    for name in ("ntxent", "contrastive"):
        x = rows(10)
        total = LOSSES[name]()(x, LABELS, execution=tiles(3))
        (first,) = torch.autograd.grad(total, x, retain_graph=True)
        (again,) = torch.autograd.grad(2 * total, x)
        torch.testing.assert_close(again, 2 * first)


def test_several_losses_of_one_batch_add_their_gradients() -> None:
    x, losses = rows(10), [make() for make in LOSSES.values()]
    sums: list[Tensor] = []
    for plan in (DENSE, tiles(3)):
        x.grad = None
        for loss in losses:
            loss(x, LABELS, execution=plan).backward()
        assert x.grad is not None
        sums.append(x.grad)
    assert_close([sums[1]], [sums[0]], 1e-12)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_references_alone_may_want_a_gradient(name: str) -> None:
    case = with_references([0, 1, 2], [0, 1, 2, 1, 0])
    assert case.ref is not None
    grads = []
    for plan in (DENSE, tiles(2)):
        total = PAIR_LOSSES[name]()(
            case.x.detach(), case.labels, ref_embeddings=case.ref, ref_labels=case.ref_labels, execution=plan
        )
        grads.append(value_and_gradients(total, [case.ref]))
    assert_close(grads[1], grads[0], 1e-12)
    assert grads[0][1].abs().max() > 0


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("name", LOSSES)
def test_no_step_of_a_backward_pass_makes_a_nan(name: str) -> None:
    hard = ("imbalanced, with singletons", "one class", "all classes distinct", "no pairs", "duplicate and zero rows")
    for case in (SCENARIOS[scenario]() for scenario in hard):
        for plan in (DENSE, tiles(3)):
            with torch.autograd.detect_anomaly():
                LOSSES[name]()(case.x, case.labels, **case.arguments(), execution=plan).backward()


def test_an_upstream_graph_gets_its_gradient() -> None:
    weight, data = rows(DIM), rows(10, 1).detach()
    for name in LOSSES:
        totals = [LOSSES[name]()(data @ weight, LABELS, execution=plan) for plan in (DENSE, tiles(4))]
        want, got = (value_and_gradients(total, [weight]) for total in totals)
        assert_close(got, want, 1e-12, name)


class Temperature(Loss):
    """A loss with a parameter of its own."""

    def __init__(self, distance: Distance | None = None, reducer: Reducer | None = None) -> None:
        super().__init__(distance=distance, reducer=reducer)
        self.temperature = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def terms(self, batch: Batch) -> dict[str, Term]:
        d = self.distance(batch.anchors, batch.references) / self.temperature
        return {"near": Term(d, batch.positives), "far": Term((-d).exp(), batch.negatives)}


class Stretched(Distance):
    """A distance with learned axes."""

    def __init__(self) -> None:
        super().__init__()
        self.axes = torch.nn.Parameter(torch.linspace(0.5, 1.5, DIM, dtype=torch.float64))

    def prepare(self, x: Tensor) -> Tensor:
        return x * self.axes

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)


class Scaled(Reducer):
    """A mean with a learned exponent before, and a learned factor after it."""

    def __init__(self) -> None:
        super().__init__()
        self.exponent = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.factor = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return term.sum((term.values + 1e-3) ** self.exponent), term.count()

    def finalize(self, *statistics: Tensor) -> Tensor:
        total, count = statistics
        return self.factor * total / count.clamp(min=1)


@pytest.mark.parametrize("distance", [D.LpDistance, Stretched])
@pytest.mark.parametrize("reducer", [R.MeanReducer, Scaled])
def test_parameters_of_loss_distance_and_reducer_get_their_gradients(
    distance: Callable[[], Distance], reducer: Callable[[], Reducer]
) -> None:
    loss = Temperature(distance(), reducer())
    want = assert_tiled_is_dense(loss, rows(10), LABELS)
    assert all(gradient.abs().max() > 0 for gradient in want)


@pytest.mark.parametrize("name", ["contrastive", "triplet_margin", "margin"])
def test_a_reducer_that_looks_at_values_is_given_them(name: str) -> None:
    assert_tiled_is_dense(LOSSES[name](reducer=Scaled()), rows(10), LABELS)


def test_a_frozen_parameter_among_them_stays_without_gradient() -> None:
    loss = Temperature(Stretched(), Scaled())
    loss.temperature.requires_grad_(False)
    loss(rows(10), LABELS, execution=tiles(3)).backward()
    assert loss.temperature.grad is None
    assert isinstance(loss.distance, Stretched)
    assert loss.distance.axes.grad is not None


def test_weights_of_rows_pass_their_gradient_on() -> None:
    class Weighted(Loss):
        def prepare(self, batch: Batch) -> Batch:
            return batch.replace(weights=batch.anchors.norm(dim=1))

        def terms(self, batch: Batch) -> dict[str, Term]:
            assert batch.weights is not None
            return {"loss": Term(batch.anchors.sum(1) * batch.weights)}

    want = assert_tiled_is_dense(Weighted(), rows(7), None)
    assert want[1].abs().max() > 0


# -- what cannot be tiled ---------------------------------------------------------------------------------------------


def test_a_second_derivative_of_the_tiled_plan_is_refused() -> None:
    for name in ("ntxent", "contrastive"):
        x = rows(6)
        total = LOSSES[name]()(x, LABELS[:6], execution=tiles(2))
        with pytest.raises(MetricregError, match="no second derivative"):
            torch.autograd.grad(total, x, create_graph=True)


class Median(Reducer):
    """As a plugin would write what no sums determine."""

    def reduce(self, term: Term) -> Tensor:
        kept = term.values if term.weight is None else term.values[term.weight != 0]
        return kept.median() if len(kept) else term.sum()


@pytest.mark.parametrize("reducer", [Median, lambda: R.MultipleReducers({"pos_loss": Median()})])
def test_a_reducer_that_is_not_additive_sees_the_whole_term(reducer: Callable[[], Reducer]) -> None:
    x, loss = rows(10), L.ContrastiveLoss(reducer=reducer())
    want = value_and_gradients(loss(x, LABELS, execution=DENSE), [x])
    assert_close(value_and_gradients(loss(x, LABELS, execution=tiles(3)), [x]), want, 1e-15)
    distances = loss.distance(x)[LABELS[:, None] == LABELS]
    assert want[0] > distances[distances > 0].min()


def test_do_nothing_returns_the_whole_terms_in_any_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 9)
    loss = L.ContrastiveLoss(reducer=R.DoNothingReducer())
    for plan in (DENSE, tiles(3)):
        terms: Any = loss(rows(10), LABELS, execution=plan)
        assert list(terms) == ["pos_loss", "neg_loss"]
        assert terms["pos_loss"].values.shape == (10, 2)
        assert terms["neg_loss"].values.shape == (10, 10)
        assert terms["pos_loss"].values.requires_grad


# -- what a third party writes ----------------------------------------------------------------------------------------


def test_a_loss_may_have_no_term_of_anchors() -> None:
    class Whole(Loss):
        def terms(self, batch: Batch) -> dict[str, Term]:
            return {}

        def batch_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
            return {"spread": Scalar((batch.anchors.var(0).sum(),), torch.log)}

    want = assert_tiled_is_dense(Whole(), rows(6), None)
    assert want[1].abs().max() > 0


class Counted(L.ContrastiveLoss):
    """With a statistic of its own."""

    def terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        near = super().terms(batch)["pos_loss"]
        return {**super().terms(batch), "level": Scalar((near.sum(), near.count()), lambda total, count: total / count)}


def test_commit_gets_the_total_statistics_of_scalars_detached_in_any_plan() -> None:
    class Counting(Counted):
        def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
            self.seen = statistics

    seen = []
    for plan in (DENSE, tiles(3)):
        loss = Counting()
        loss(rows(10), LABELS, execution=plan)
        assert not any(s.requires_grad for part in loss.seen.values() for s in part)
        seen.append(loss.seen)
    assert seen[0].keys() == seen[1].keys() == {"level"}
    for name in seen[0]:
        torch.testing.assert_close(seen[0][name], seen[1][name], rtol=1e-12, atol=0)


def test_commit_is_told_that_a_reducers_statistics_are_not_its_own() -> None:
    class Mistaken(Counted):
        def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
            statistics["pos_loss"]

    with pytest.raises(MetricregError, match=r"statistics of Scalars, here \['level'\], and 'pos_loss' is none"):
        Mistaken()(rows(10), LABELS)


# -- what is refused because it would be wrong in some plan ------------------------------------------------------------


class ValueAnAnchor(Reducer):
    """Statistics that are no sums over anchors."""

    def __init__(self) -> None:
        super().__init__()

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return term.per_anchor()

    def finalize(self, *statistics: Tensor) -> Tensor:
        return (statistics[0] / statistics[1].clamp(min=1)).mean()


@pytest.mark.parametrize("size", [1, 3, 4, 5, 10, 100])
def test_statistics_that_do_not_add_up_are_refused_even_where_tiles_are_of_one_size(size: int) -> None:
    with pytest.raises(MetricregError, match=r"by ValueAnAnchor have the shapes .* not a value an anchor"):
        L.NTXentLoss(reducer=ValueAnAnchor())(rows(10), LABELS, execution=tiles(size))


def test_terms_that_only_some_anchors_have_are_refused() -> None:
    class Sometimes(Loss):
        def terms(self, batch: Batch) -> dict[str, Term]:
            name = "even" if int(batch.self_index[0]) % 2 == 0 else "odd"  # type: ignore[index]
            return {name: Term(batch.anchors.sum(1))}

    with pytest.raises(MetricregError, match=r"terms gives \['even'\] for some anchors and \['odd'\] for others"):
        Sometimes()(rows(10), LABELS, execution=tiles(3))


def test_a_gradient_that_the_tiled_plan_would_lose_is_refused() -> None:
    class Outside(Loss):
        def prepare(self, batch: Batch) -> Batch:
            self.spread = batch.anchors.std()
            return batch

        def terms(self, batch: Batch) -> dict[str, Term]:
            return {"loss": Term(batch.anchors.sum(1) / self.spread)}

    class Inside(Loss):
        def prepare(self, batch: Batch) -> Batch:
            return batch.replace(shared={"spread": batch.anchors.std()})

        def terms(self, batch: Batch) -> dict[str, Term]:
            return {"loss": Term(batch.anchors.sum(1) / batch.shared["spread"])}

    with pytest.raises(MetricregError, match="neither in the batch nor a parameter of the loss; hand it over"):
        Outside()(rows(10), LABELS, execution=tiles(3))
    assert_tiled_is_dense(Inside(), rows(10), LABELS)
    Outside()(rows(10).detach(), LABELS, execution=tiles(3))  # without a gradient nothing is lost


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", LOSSES)
def test_forward_mode_is_refused_in_the_tiled_plan_and_right_in_the_dense_one(name: str) -> None:
    x, loss = rows(10).detach(), LOSSES[name]().requires_grad_(False)
    direction = rows(10, 1).detach()
    _, slope = torch.func.jvp(lambda z: loss(z, LABELS, execution=DENSE), (x,), (direction,))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, LABELS, execution=DENSE), leaf)
    torch.testing.assert_close(slope, (gradient * direction).sum())
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        with pytest.raises(MetricregError, match="no forward-mode derivative"):
            loss(dual, LABELS, execution=tiles(3))


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", LOSSES)
def test_the_tiled_plan_is_refused_in_transforms_where_auto_is_dense(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "CPU_TILE_VALUES", 1)
    x, loss = rows(10).detach(), LOSSES[name]().requires_grad_(False)
    for transform in (torch.func.grad, torch.func.jacrev, lambda f: lambda z: torch.func.vmap(f)(z[None])):
        with pytest.raises(MetricregError, match="works in no transform of torch"):
            transform(lambda z: loss(z, LABELS, execution=tiles(3)))(x)
    found = torch.func.grad(lambda z: loss(z, LABELS, execution=Execution("auto")))(x)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, LABELS, execution=DENSE), leaf)
    torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("plan", [DENSE, tiles(2)])
def test_what_prepare_and_once_return_is_checked(plan: Execution) -> None:
    class Forgetful(L.ContrastiveLoss):
        def prepare(self, batch: Batch) -> Any:
            return None

    class Once(L.ContrastiveLoss):
        def batch_terms(self, batch: Batch) -> Any:
            return None

    with pytest.raises(MetricregError, match=r"Forgetful\.prepare returned NoneType; expected a Batch"):
        Forgetful()(rows(4), [0, 1, 0, 1], execution=plan)
    with pytest.raises(MetricregError, match=r"Once\.batch_terms returned NoneType; expected a mapping"):
        Once()(rows(4), [0, 1, 0, 1], execution=plan)


@pytest.mark.parametrize("made", [None, 1.0, torch.zeros(2)])
def test_what_a_reducer_makes_of_a_term_is_checked(made: Any) -> None:
    class Odd(Reducer):
        def reduce(self, term: Term) -> Any:
            return made

    with pytest.raises(MetricregError, match=r"Odd made .* of the term 'loss'; expected a tensor with one value"):
        L.NTXentLoss(reducer=Odd())(rows(4), [0, 1, 0, 1])


def test_a_reducer_that_overrides_reduce_alone_is_not_evaluated_by_what_it_inherits() -> None:
    class Thousandfold(R.MeanReducer):
        def reduce(self, term: Term) -> Tensor:
            return 1000 * term.sum()

    assert not Thousandfold().additive
    x = rows(10)
    want = 1000 * L.NTXentLoss(reducer=R.SumReducer())(x, LABELS)
    torch.testing.assert_close(L.NTXentLoss(reducer=Thousandfold())(x, LABELS, execution=tiles(3)), want)


def test_prepare_runs_once_and_terms_never_see_more_than_a_tile() -> None:
    class Watching(L.ContrastiveLoss):
        def prepare(self, batch: Batch) -> Batch:
            calls.append(("prepare", len(batch)))
            return batch

        def terms(self, batch: Batch) -> dict[str, Term]:
            calls.append(("terms", len(batch)))
            return super().terms(batch)

    calls: list[tuple[str, int]] = []
    loss = Watching()
    loss(rows(10), LABELS, execution=tiles(4))
    assert max(n for what, n in calls if what == "terms") == 4  # those by which it is checked included
    calls.clear()
    loss(rows(10), LABELS, execution=tiles(4)).backward()
    assert calls == [("prepare", 10), *[("terms", n) for n in (4, 4, 2)] * 2]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (lambda batch: {"loss": batch.anchors.sum(1)}, r"terms returned a tensor \[\d\] for 'loss'; expected a Term"),
        (lambda batch: batch.anchors.sum(1), r"terms returned a tensor \[\d\]; expected a mapping"),
        (lambda batch: None, "terms returned NoneType; expected a mapping"),
        (lambda batch: {"loss": Term(batch.anchors.sum())}, "'loss' has values of shape"),
        (lambda batch: {"loss": Term(batch.anchors, batch.anchors.bool()[:, :2])}, "needs the same number of axes"),
        (lambda batch: {"loss": Term(batch.anchors.sum(1), rows=torch.zeros(1))}, "'loss' has values"),
        (lambda batch: {"loss": Term(batch.anchors, divisor=torch.ones(1))}, "'loss' has a divisor"),
        (lambda batch: {"loss": Term(batch.anchors, torch.ones(len(batch)))}, "an anchor's own is weight"),
        (lambda batch: {"loss": Term(batch.anchors, torch.ones(1, 1))}, "weight of torch.float32; a weight says which"),
        (lambda batch: {"loss": Scalar((1.0,), sum)}, "by Scalar are float; expected a tuple of tensors"),
        (lambda batch: {"loss": Scalar(batch.anchors.sum(), sum)}, r"are a tensor \[\]; expected a tuple"),
        (
            lambda batch: {"loss": Scalar((batch.anchors.sum(0),), lambda v: v)},
            r"Scalar made a tensor \[5\] of the term 'loss'; expected a tensor with one value",
        ),
    ],
)
@pytest.mark.parametrize("plan", [DENSE, tiles(2)])
def test_terms_of_a_wrong_shape_are_refused_by_name(
    terms: Callable[[Batch], Any], message: str, plan: Execution
) -> None:
    class Wrong(Loss):
        def terms(self, batch: Batch) -> Any:
            return terms(batch)

    with pytest.raises(MetricregError, match=message):
        Wrong()(rows(5), execution=plan)


# -- memory and compilation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in AT_ONCE])
def test_no_tensor_of_the_tiled_plan_is_larger_than_a_tile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batch.map, "__defaults__", (8,))
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, DIM, generator=generator).requires_grad_()
    labels = torch.arange(256) // 4 if name in PAIR_LOSSES else torch.arange(256) % 4
    loss = LOSSES[name]()
    each = loss.width(loss.prepare(Batch.of(x, labels)))
    with LargestTensor() as largest:
        loss(x, labels, execution=tiles(8)).backward()
    # a list of classmates for all anchors; and what a block of up to 16 rows has, such as histograms of 101 bins
    assert largest.numel <= max(8 * each, 256 * max(DIM + 2, SHORT), 16 * 202)
    with LargestTensor() as largest:
        loss(x, labels, execution=DENSE).backward()
    assert largest.numel >= len(loss.prepare(Batch.of(x, labels))) * each


def test_auto_is_dense_for_a_small_batch_and_tiled_for_a_large_one() -> None:
    small, large = Batch.of(torch.zeros(10, 2)), Batch.of(torch.zeros(2000, 2))
    assert Execution().tile_for(small, 10) is None
    assert Execution().tile_for(large, 2000) == CPU_TILE_VALUES // 2000
    assert Execution(tile=64).tile_for(large, 2000) == 64
    assert Execution("dense").tile_for(large, 2000) is None
    assert Execution("tiled").tile_for(small, 10) == CPU_TILE_VALUES // 10
    assert Execution("tiled").tile_for(small, CPU_TILE_VALUES // 8) == MIN_TILE_ANCHORS
    assert Execution("tiled").tile_for(small, CPU_TILE_VALUES // 2) == MAX_TILE_GROWTH * 2
    assert Execution("tiled").tile_for(small, 2 * CPU_TILE_VALUES) == MAX_TILE_GROWTH // 2
    assert Execution("tiled").tile_for(small, 2 * MAX_TILE_GROWTH * CPU_TILE_VALUES) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plan": "tield"}, r"plan is 'auto', 'dense' or 'tiled'.*'tield'"),
        ({"plan": "tiled", "tile": 0}, r"tile None or an integer of at least 1.*tile=0"),
        ({"tile": -3}, "tile=-3"),
    ],
)
def test_a_plan_that_would_evaluate_nothing_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Execution(**arguments)


def test_class_weights_want_labels() -> None:
    with pytest.raises(InputError, match="needs labels"):
        L.ContrastiveLoss(reducer=R.ClassWeightedReducer([1.0]))(rows(2), tuples=([0], [1], [], []))


# -- several statistics that carry gradient ---------------------------------------------------------------------------


class Counting(L.ContrastiveLoss):
    """Notes how often `terms` runs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def terms(self, batch: Batch) -> Any:
        self.calls += 1
        return super().terms(batch)


@pytest.mark.parametrize(("each", "calls"), [(2, 4), (16, 8)])
def test_a_term_of_few_values_needs_no_second_sweep(each: int, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 63)
    x, labels = rows(64), torch.arange(64) // each
    loss = Counting()
    loss(x, labels, execution=tiles(16))  # and looks whether it is pure
    loss.calls = 0
    total = loss(x, labels, execution=tiles(16))
    found = value_and_gradients(total, [x])
    assert loss.calls == calls
    assert_close(found, value_and_gradients(loss(x, labels, execution=DENSE), [x]), 1e-12)


class Promising(Counting):
    """Notes how many pairs it looks at, too."""

    @symmetric
    def terms(self, batch: Batch) -> Any:
        self.pairs = getattr(self, "pairs", 0) + len(batch) * len(batch.references)
        return super().terms(batch)


class FromTheAnchor(L.ContrastiveLoss):
    """Weighs pairs by the anchor's first entry: not the same with the samples of a pair exchanged."""

    def terms(self, batch: Batch) -> Any:
        terms = super().terms(batch)
        return {name: Term(term.values * batch.anchors[:, :1].exp(), term.weight) for name, term in terms.items()}


class FirstOfPair(R.MeanReducer):
    """A mean weighed by the anchor."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        total, count = term.per_anchor()
        ranks = torch.arange(len(total)) if term.labels is None else term.labels
        return (total * ranks).sum(), count.sum()


class Lopsided(D.LpDistance):
    """Longer from long rows."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return super().matrix(x, y) * x.square().sum(-1, keepdim=True)


def test_half_of_a_symmetric_comparison_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 63)  # positives are few: one sweep
    x, labels, loss = rows(64), torch.arange(64) // 2, Promising()
    want = value_and_gradients(L.ContrastiveLoss()(x, labels, execution=DENSE), [x])
    loss(x, labels, execution=tiles(16))
    loss.pairs = 0
    assert_close(value_and_gradients(loss(x, labels, execution=tiles(16)), [x]), want, 1e-12)
    assert 64 * 65 // 2 < loss.pairs < 0.7 * 64 * 64


@pytest.mark.parametrize(("number", "tile"), [(0, 3), (1, 3), (5, 1), (64, 8), (100, 99), (7, 7), (7, 9)])
def test_a_symmetric_comparison_is_cut_into_blocks_of_no_more_values_than_a_tile_has(number: int, tile: int) -> None:
    sweep = Sweep(lambda batch: [], tile, nn.Module(), symmetric=True)
    seen = torch.zeros(number, number)
    for block in sweep.blocks(Batch.of(torch.zeros(number, 1))):
        rows, columns = block.anchors, block.references
        assert columns is not None
        assert seen[rows, columns].numel() <= tile * max(number, 1)
        seen[rows, columns] += block.multiplicity
    assert torch.equal(seen + seen.T, torch.full((number, number), 2.0))


@pytest.mark.parametrize("loss", [L.ContrastiveLoss(), L.IntraPairVarianceLoss()], ids=lambda loss: type(loss).__name__)
def test_blocks_of_a_symmetric_comparison_list_what_the_whole_lists(
    loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 19)
    x, labels, seen = rows(60), torch.arange(60).flip(0) % 20, []
    terms = loss.terms
    monkeypatch.setattr(loss, "terms", lambda batch: seen.append(batch.lists_positives) or terms(batch))
    assert_tiled_is_dense(loss, x, labels)
    assert all(seen)
    assert len(seen) > 10


class Weighed:
    """Mixed into a loss: weighs by the anchor."""

    def terms(self, batch: Batch) -> Any:
        factor, terms = batch.anchors[:, :1].exp(), super().terms(batch)  # type: ignore[misc]
        return {k: Term(v.values * factor, v.weight, divisor=v.divisor) for k, v in terms.items()}


class WeighedSigLIP(Weighed, L.SigLIPLoss):
    """Not symmetric."""


class Anchored(L.ContrastiveLoss):
    """Symmetric but for what it divides by, which is a number of anchors."""

    @symmetric
    def terms(self, batch: Batch) -> Any:
        one = torch.ones(len(batch), dtype=torch.long)
        return {k: Term(v.values, v.weight, divisor=one) for k, v in super().terms(batch).items()}


@pytest.mark.parametrize(
    "loss",
    [
        FromTheAnchor(),
        WeighedSigLIP().double(),
        Anchored(reducer=R.DivisorReducer()),
        Anchored(reducer=R.MultipleReducers({"neg_loss": R.DivisorReducer()})),
        L.ContrastiveLoss(reducer=FirstOfPair()),
        L.ContrastiveLoss(distance=Lopsided(normalize=False)),
        L.ContrastiveLoss(reducer=R.PerAnchorReducer()),
    ],
    ids=["terms", "terms of a mixin", "divisor", "one divisor", "reducer", "distance", "per anchor"],
)
def test_who_overrides_what_was_promised_to_be_symmetric_promises_nothing(loss: Loss) -> None:
    assert_tiled_is_dense(loss, rows(20), torch.arange(20) // 2)


class Turning(Lopsided):
    """Promises what does not hold."""

    matrix = symmetric(lambda self, x, y: Lopsided.matrix(self, x, y))


class PromisingFromTheAnchor(FromTheAnchor):
    """Promises what does not hold."""

    terms = symmetric(lambda self, batch: FromTheAnchor.terms(self, batch))


class SumOfRow(L.ContrastiveLoss):
    """A value of an anchor, not of a pair."""

    @symmetric
    def terms(self, batch: Batch) -> Any:
        return {"loss": Term(self.distance.between(batch).sum(1))}


class LessItsMean(L.ContrastiveLoss):
    """Values that depend on others of the row."""

    @symmetric
    def terms(self, batch: Batch) -> Any:
        d = self.distance.between(batch)
        return {"loss": Term(d - d.mean(1, keepdim=True).detach(), batch.positives)}


def promising(statistics: Callable[[Term], tuple[Tensor, ...]]) -> Loss:
    """A loss whose reducer says that it goes by values alone."""
    reducer = type("Promised", (R.MeanReducer,), {"statistics": by_value(lambda self, term: statistics(term))})
    return L.ContrastiveLoss(reducer=reducer())


def of_means(term: Term) -> tuple[Tensor, ...]:
    total, count = term.per_anchor()
    return (total / count.clamp(min=1)).sum(), (count > 0).sum()


@pytest.mark.parametrize(
    "loss",
    [
        L.ContrastiveLoss(distance=Turning(normalize=False)),
        PromisingFromTheAnchor(),
        SumOfRow(),
        LessItsMean(),
        promising(FirstOfPair().statistics),
        promising(of_means),
        promising(lambda term: (term.sum(), torch.tensor(float(term.anchors)))),
        promising(lambda term: (term.sum() ** 2, term.count())),
    ],
    ids=["distance", "terms", "row", "row mean", "anchor", "anchors' means", "number of anchors", "square of sum"],
)
def test_a_wrong_promise_is_an_error_in_the_first_step(loss: Loss) -> None:
    x, labels = rows(20), torch.arange(20) // 2
    loss(x, labels, execution=DENSE)  # which does not go by it
    with pytest.raises(MetricregError, match=r"take the mark|statistics are sums"):
        loss(x, labels, execution=tiles(7))


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        (
            type(
                "Rolled",
                (D.CosineSimilarity,),
                {"matrix": symmetric(lambda self, x, y: x @ y.roll(1, -1).mT), "value_range": lambda self: (-1.0, 1.0)},
            )(),
            "Rolled.matrix is marked @symmetric",
        ),
        (
            type("Unbounded", (D.DotProductSimilarity,), {"value_range": lambda self: (-1.0, 1.0)})(normalize=False),
            r"Unbounded.value_range says \(-1.0, 1.0\), and there are distances from",
        ),
    ],
    ids=["symmetry", "range"],
)
def test_what_a_distance_says_of_itself_is_checked_where_sums_go_by_it(
    distance: Distance, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)
    with pytest.raises(MetricregError, match=message):
        L.NTXentLoss(distance=distance)(3 * rows(40), torch.arange(40) // 2, execution=tiles(7))


def test_a_promise_is_checked_once() -> None:
    loss, calls = Promising(), []
    for _ in range(2):
        loss.calls = 0
        loss(rows(64), torch.arange(64) // 2, execution=tiles(16))
        calls.append(loss.calls)
    assert calls[0] == calls[1] + 2 * 5 + 5  # for purity, and for symmetry


def test_what_a_class_makes_of_distances_and_margins_is_heeded() -> None:
    class Doubled(D.LpDistance):
        def matrix(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.cdist(x, y)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return 2.0 * super().forward(x, y)

    class Wide(D.LpDistance):
        def margin(self, x: Tensor | float, y: Tensor | float) -> Tensor:
            return 3.0 * super().margin(x, y)

    x, labels = rows(10), torch.arange(10) // 2
    torch.testing.assert_close(Doubled().between(Batch.of(x, labels)), Doubled()(x))
    torch.testing.assert_close(L.ContrastiveLoss(distance=Wide())(x, labels), 3.0 * L.ContrastiveLoss()(x, labels))
    wide, plain = (L.MarginLoss(margin=m, distance=d, reducer=R.SumReducer()) for m, d in ((0.3, Wide()), (0.1, None)))
    torch.testing.assert_close(wide(x, labels), 3.0 * plain(x, labels))


class Weighed(R.SumReducer):
    """A factor times the sum."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def finalize(self, *statistics: Tensor) -> Tensor:
        return self.factor * statistics[0]


@pytest.mark.parametrize("slopes", [(1.0, 0.0), (0.0, 1.0), (2.0, -3.0)])
def test_each_of_several_statistics_has_its_own_slope(slopes: tuple[float, float]) -> None:
    x, labels = rows(64), torch.arange(64) // 2
    pull = L.ContrastiveLoss(reducer=R.MultipleReducers({"pos_loss": R.SumReducer(), "neg_loss": Weighed(0.0)}))
    push = L.ContrastiveLoss(reducer=R.MultipleReducers({"pos_loss": Weighed(0.0), "neg_loss": R.SumReducer()}))
    want = slopes[0] * pull(x, labels, execution=DENSE) + slopes[1] * push(x, labels, execution=DENSE)
    reducer = R.MultipleReducers({"pos_loss": Weighed(slopes[0]), "neg_loss": Weighed(slopes[1])})
    got = L.ContrastiveLoss(reducer=reducer)(x, labels, execution=tiles(16))
    assert_close(value_and_gradients(got, [x]), value_and_gradients(want, [x]), 1e-12)
