"""The regularizers against their loops, and on the inputs that are hard on numerics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import InputError, MetricregError, Regularizer, Scalar, SpecError
from metricreg import regularizers as G
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity, DotProductSimilarity, LpDistance
from metricreg.losses import ContrastiveLoss
from metricreg.reducers import DivisorReducer, DoNothingReducer, PerAnchorReducer, SumReducer
from tests.oracle import BALANCED, FEW_PLANS, assert_close, rows, value_and_gradients
from tests.reference import regularizers as reference

ALL: dict[str, tuple[Callable[[], Regularizer], Callable[[Tensor], Tensor]]] = {
    "center_invariant": (G.CenterInvariantRegularizer, reference.center_invariant),
    "lp": (G.LpRegularizer, reference.lp),
    "lp p=1 power=2": (lambda: G.LpRegularizer(p=1, power=2), partial(reference.lp, p=1.0, power=2.0)),
    "lp p=3": (lambda: G.LpRegularizer(p=3), partial(reference.lp, p=3.0)),
    "lp rooted": (lambda: G.LpRegularizer(power=0.5), partial(reference.lp, power=0.5)),
    "regular_face": (G.RegularFaceRegularizer, reference.regular_face),
    "regular_face of products": (
        lambda: G.RegularFaceRegularizer(distance=DotProductSimilarity(normalize=False)),
        partial(reference.regular_face, normalize=False),
    ),
    "sparse_centers": (
        lambda: G.SparseCentersRegularizer(num_classes=3, centers_per_class=2),
        partial(reference.sparse_centers, num_classes=3, centers_per_class=2),
    ),
    "sparse_centers of three": (
        lambda: G.SparseCentersRegularizer(num_classes=2, centers_per_class=3),
        partial(reference.sparse_centers, num_classes=2, centers_per_class=3),
    ),
    "zero_mean": (G.ZeroMeanRegularizer, reference.zero_mean),
    "l1": (G.L1Regularizer, reference.l1),
    "l2": (G.L2Regularizer, reference.l2),
    "l1_l2": (G.L1L2Regularizer, reference.l1_l2),
    "l1_l2 unequal": (lambda: G.L1L2Regularizer(0.3, 2), partial(reference.l1_l2, first=0.3, second=2.0)),
    "orthogonal": (G.OrthogonalRegularizer, reference.orthogonal),
    "orthogonal columns": (
        lambda: G.OrthogonalRegularizer(factor=2.0, mode="columns"),
        partial(reference.orthogonal, factor=2.0, mode="columns"),
    ),
    "spherical_embedding": (G.SphericalEmbeddingRegularizer, reference.spherical_embedding),
}
every = pytest.mark.parametrize("name", ALL)


def zero_and_duplicate_rows() -> Tensor:
    w = rows(6, 4).detach()
    w[1] = w[0]
    w[4] = 0.0
    return w.requires_grad_()


@pytest.mark.checks("loop", "regularizer")
@every
def test_agrees_with_the_formula(name: str) -> None:
    w = rows(6)
    assert_close(value_and_gradients(ALL[name][0]()(w), [w]), value_and_gradients(ALL[name][1](w), [w]), 1e-10)


@every
def test_duplicate_and_zero_rows_are_finite(name: str) -> None:
    w = zero_and_duplicate_rows()
    for part in value_and_gradients(ALL[name][0]()(w), [w]):
        assert part.isfinite().all()


@pytest.mark.parametrize("name", [name for name in ALL if "sparse" not in name])
@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row_are_finite_with_a_graph(name: str, count: int) -> None:
    w = rows(count)
    total = ALL[name][0]()(w)
    assert total.requires_grad
    got = value_and_gradients(total, [w])
    assert got[0] == 0 if count == 0 or name == "orthogonal" else got[0].isfinite()
    assert got[1].isfinite().all()


@every
def test_a_nan_is_not_hidden(name: str) -> None:
    w = rows(6).detach()
    w[2, 1] = torch.nan
    assert ALL[name][0]()(w).isnan()


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    half = rows(6, dtype=dtype).detach().requires_grad_()
    full = half.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        total = ALL[name][0]()(half)
    got, want = value_and_gradients(total, [half]), value_and_gradients(ALL[name][0]()(full), [full])
    assert (got[0].dtype, got[1].dtype) == (torch.float32, dtype)
    torch.testing.assert_close(got[0], want[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(got[1], want[1].to(dtype))


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("lp", "lp rooted")])
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(ALL[name][0](), (rows(6),))


@every
@pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
def test_it_is_added_to_a_loss_with_its_weight(name: str, plan: object) -> None:
    size = 6
    x, labels, regularizer = rows(size), BALANCED[:size], ALL[name][0]()
    loss = ContrastiveLoss(embedding_regularizer=regularizer, embedding_reg_weight=0.25)
    want = ContrastiveLoss()(x, labels) + 0.25 * regularizer(x)
    assert_close(value_and_gradients(loss(x, labels, execution=plan), [x]), value_and_gradients(want, [x]), 1e-12)


def test_zeros_have_no_slope() -> None:
    for regularizer in (G.L1Regularizer(), G.L2Regularizer(), G.L1L2Regularizer()):
        w = torch.zeros(3, 2, requires_grad=True)
        assert [part.abs().max().item() for part in value_and_gradients(regularizer(w), [w])] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("l1", {"l1": -1}),
        ("l2", {"l2": "x"}),
        ("l1_l2", {"l2": -0.1}),
        ("orthogonal", {"mode": "row"}),
        ("l1", {"reducer": "sum"}),
        ("sparse_centers", {"num_classes": 3, "centers_per_class": 0}),
    ],
)
def test_wrong_parameters_are_refused(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        metricreg.create("regularizer", name, **bad)


def test_another_reducer_reduces_the_rows() -> None:
    w = rows(6)
    torch.testing.assert_close(G.ZeroMeanRegularizer(reducer=SumReducer())(w), 6 * G.ZeroMeanRegularizer()(w))


@pytest.mark.parametrize("name", ["regular_face", "orthogonal", "orthogonal columns"])
def test_vectors_are_compared_tile_by_tile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = rows(9)
    want = value_and_gradients(ALL[name][0]()(w), [w])
    monkeypatch.setattr(f"metricreg.regularizers.{name.split()[0]}.TILE_VALUES", 20)  # two to four vectors a tile
    assert_close(value_and_gradients(ALL[name][0]()(w), [w]), want, 1e-14)


def test_regular_face_takes_similarities_alone() -> None:
    assert G.RegularFaceRegularizer(distance=CosineSimilarity(power=2))(rows(3)).isfinite()
    with pytest.raises(SpecError, match="CosineSimilarity or DotProductSimilarity, not with LpDistance"):
        G.RegularFaceRegularizer(distance=LpDistance())


def test_sparse_centers_wants_as_many_rows_as_centers() -> None:
    with pytest.raises(InputError, match="expects 3 x 2 = 6 rows; got 5"):
        G.SparseCentersRegularizer(num_classes=3, centers_per_class=2)(rows(5))


def test_a_divisor_is_needed_for_the_divisor_reducer() -> None:
    with pytest.raises(InputError, match="states no divisor"):
        G.LpRegularizer(reducer=DivisorReducer())(rows(3))


def test_a_penalty_is_one_value() -> None:
    for reducer in (DoNothingReducer(), PerAnchorReducer(DoNothingReducer())):
        with pytest.raises(InputError, match=r"LpRegularizer leaves the term 'loss' as it is \(do_nothing\)"):
            G.LpRegularizer(reducer=reducer)(torch.randn(3, 2))


@pytest.mark.parametrize("terms", [{}, {"loss": Scalar((torch.ones(()),))}])
def test_a_penalty_without_a_value_is_refused(terms: Terms) -> None:
    class Silent(Regularizer):
        def terms(self, x: Tensor) -> Terms:
            return terms

    with pytest.raises(MetricregError, match=r"Silent\.terms gave no term with a value"):
        Silent()(rows(3))


def test_a_penalty_that_is_a_matrix_is_said_of_the_regularizer() -> None:
    class AsItIs(metricreg.Regularizer):
        def terms(self, x: Tensor) -> Any:
            return {}

        def forward(self, x: Tensor) -> Tensor:
            return x

    x, labels = torch.randn(6, 4), torch.arange(6) % 3
    arcface = {"num_classes": 3, "embedding_size": 4}
    for name, slots in {
        "contrastive": {"embedding_regularizer": AsItIs()},
        "arcface": {"weight_regularizer": AsItIs(), **arcface},
    }.items():
        with pytest.raises(
            metricreg.MetricregError, match=r"regularizer AsItIs made a tensor .* a penalty is one value"
        ):
            metricreg.create("loss", name, **slots)(x, labels)
