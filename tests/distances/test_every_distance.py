"""What every distance does, against two vectors at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from metricreg import Distance, MetricregError
from metricreg import distances as D
from metricreg.batch import Batch
from metricreg.engine.evaluate import StepContext
from tests.oracle import DIM, DISTANCES, assert_close, rows, value_and_gradients
from tests.reference.distances import Measure, dot_product_measure, lp_measure, mahalanobis_measure, snr_measure

FACTOR = torch.randn(3, DIM, generator=torch.Generator().manual_seed(5))


def learned(power: float = 1.0) -> Distance:
    distance = D.MahalanobisDistance(DIM, rank=len(FACTOR), power=power)
    distance.load_state_dict({"factor": FACTOR})
    return distance


MORE: dict[str, tuple[Callable[[], Distance], Measure]] = DISTANCES | {
    "cosine cubed": (lambda: D.CosineSimilarity(power=3), dot_product_measure(power=3.0)),
    "dot": (D.DotProductSimilarity, dot_product_measure()),
    "snr raw": (lambda: D.SNRDistance(normalize=False), snr_measure(normalize=False)),
    "snr rooted": (lambda: D.SNRDistance(power=0.5), snr_measure(power=0.5)),
    "mahalanobis at first": (lambda: D.MahalanobisDistance(DIM), lp_measure(normalize=False)),
    "mahalanobis": (learned, mahalanobis_measure(FACTOR.double())),
    "mahalanobis squared": (lambda: learned(2.0), mahalanobis_measure(FACTOR.double(), 2.0)),
}
every = pytest.mark.parametrize("name", MORE)


def table(measure: Measure, x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.stack(row) for row in measure.table(x, y)])


@pytest.mark.checks("loop", "distance")
@every
def test_entries_and_gradients_are_those_of_two_vectors(name: str) -> None:
    ours, measure = MORE[name][0](), MORE[name][1]
    x, y, slope = rows(6), rows(4, 1), rows(6, 2)[:, :4].detach()
    want, got = table(measure, x, y), ours(x, y)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    wanted = value_and_gradients((slope * want).sum(), [x, y])
    assert_close(value_and_gradients((slope * got).sum(), [x, y]), wanted, 1e-10)
    assert ours.is_inverted == measure.inverted


@every
def test_rows_are_compared_with_themselves_where_no_others_are_given(name: str) -> None:
    ours, measure = MORE[name][0](), MORE[name][1]
    x, slope = rows(5), rows(5, 2).detach()
    assert_close(
        value_and_gradients((slope * ours(x)).sum(), [x]),
        value_and_gradients((slope * table(measure, x, x)).sum(), [x]),
        1e-10,
    )


@every
def test_pairwise_is_the_diagonal(name: str) -> None:
    ours, x, y = MORE[name][0](), rows(5), rows(5, 1)
    want, got = ours(x, y).diagonal(), ours.pairwise(x, y)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    assert_close(value_and_gradients(got.exp().sum(), [x, y]), value_and_gradients(want.exp().sum(), [x, y]), 1e-9)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch itself
@every
def test_derivatives_in_forward_mode_need_no_graph(name: str) -> None:
    if name.startswith("lp p="):
        pytest.skip("torch.cdist has no derivative in forward mode for p other than 2")
    x, direction = rows(6).detach(), rows(6, 1).detach()
    tangents = []
    for context in (torch.enable_grad, torch.no_grad):
        with forward_ad.dual_level(), context():
            dual = forward_ad.make_dual(x, direction)
            tangents.append(forward_ad.unpack_dual(MORE[name][0]()(dual)).tangent)
    torch.testing.assert_close(tangents[1], tangents[0], rtol=1e-12, atol=0.0)


@every
def test_many_sets_of_rows_are_differentiated_at_once(name: str) -> None:
    if name.startswith("lp p="):
        pytest.skip("torch.cdist has no rule for many at once")
    ours, many = MORE[name][0](), rows(12).detach().view(2, 6, DIM)

    def total(x: Tensor) -> Tensor:
        return ours(x).sin().sum()

    want = torch.stack([torch.autograd.grad(total(x), x)[0] for x in many.clone().requires_grad_()])
    for dim in (0, 1):
        each = torch.func.vmap(total, in_dims=dim)
        given = many.movedim(0, dim)
        got = torch.func.grad(lambda x: each(x).sum())(given).movedim(dim, 0)  # noqa: B023
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
        got = torch.func.vmap(torch.func.grad(total), in_dims=dim)(given)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@every
def test_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    if name.startswith("lp p="):
        pytest.skip("torch.cdist has no second derivative for p other than 2")
    ours = MORE[name][0]()
    assert torch.autograd.gradgradcheck(ours, (rows(2), rows(3, 1)))
    assert torch.autograd.gradgradcheck(ours, (rows(3),))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode
@every
def test_backward_over_forward_is_forward_over_backward(name: str) -> None:
    if name.startswith("lp p="):
        pytest.skip("torch.cdist has no derivative in forward mode for p other than 2")
    ours, x = MORE[name][0](), rows(3).detach()
    weights = torch.arange(9.0, dtype=x.dtype).view(3, 3)

    def total(x: Tensor) -> Tensor:
        return (ours(x) * weights).sum()

    got = torch.func.jacrev(torch.func.jacfwd(total))(x)
    torch.testing.assert_close(got, torch.func.hessian(total)(x), rtol=1e-10, atol=1e-10)


@every
def test_a_distance_by_itself_follows_autocast(name: str) -> None:
    ours, x, y = MORE[name][0]().float(), *(rows(4, seed, dtype=torch.float32).detach() for seed in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near, self_near = ours(x, y), ours(x)
    torch.testing.assert_close(near.float(), ours(x, y), rtol=0.1, atol=0.1)
    assert self_near.isfinite().all()


@every
def test_references_may_change_after_the_forward_pass_and_be_made_in_inference_mode(name: str) -> None:
    if "mahalanobis" in name or name == "dot raw":
        pytest.skip("the gradient of a product is the references themselves, which torch keeps")
    ours, x = MORE[name][0](), rows(4)
    given = rows(3, 1).detach()
    (want,) = torch.autograd.grad(ours(x, given).sum(), x)
    with torch.inference_mode():
        inferred = given.clone()
    (got,) = torch.autograd.grad(ours(x, inferred).sum(), x)
    torch.testing.assert_close(got, want)
    value = ours(x, given).sum()
    given.zero_()
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], want)


@every
def test_duplicates_have_the_distance_of_a_row_to_itself_and_finite_gradients(name: str) -> None:
    ours, x = MORE[name][0](), rows(3, dtype=torch.float32).detach()
    x = x[[0, 0, 1, 1, 2]].requires_grad_()
    d = ours(x)
    if not ours.is_inverted:
        assert (d[0, :2].tolist(), d[3, 2:4].tolist(), d[4, 4].item()) == ([0.0, 0.0], [0.0, 0.0], 0.0)
    for part in value_and_gradients(d.sum(), [x]):
        assert part.isfinite().all()


@every
def test_zero_rows_are_finite_with_their_gradients(name: str) -> None:
    ours, x = MORE[name][0](), rows(4, dtype=torch.float32).detach()
    x[1] = x[3] = 0.0
    x.requires_grad_()
    for part in value_and_gradients(ours(x).sum(), [x]):
        assert part.isfinite().all()


@every
@pytest.mark.parametrize(("x", "y"), [(0, 3), (3, 0), (0, 0)])
def test_no_rows_have_no_distances(name: str, x: int, y: int) -> None:
    assert MORE[name][0]()(rows(x), rows(y)).shape == (x, y)


@every
def test_margin_closeness_and_nearest_know_which_way_is_closer(name: str) -> None:
    ours = MORE[name][0]()
    near, far = torch.tensor([0.9, 0.1]) if ours.is_inverted else torch.tensor([0.1, 0.9])
    assert ours.margin(far, near) > 0 > ours.margin(near, far)
    assert ours.margin(far, 0.5) > 0 > ours.margin(0.5, far)
    assert ours.closeness(near) > ours.closeness(far)
    assert ours.nearest(near, far) == ours.nearest(far, near) == near


@every
def test_a_nan_stays_in_its_row(name: str) -> None:
    x = rows(3).detach()
    x[1, 2] = torch.nan
    d = MORE[name][0]()(x, rows(2, 1).detach())
    assert d.isnan().all(1).tolist() == [False, True, False]
    assert not d[[0, 2]].isnan().any()


def test_dimensions_of_one_and_none_are_no_special_case() -> None:
    for ours in (D.LpDistance(), D.CosineSimilarity(), D.DotProductSimilarity()):
        assert ours(torch.randn(3, 1), torch.randn(2, 1)).shape == (3, 2)
        assert ours(torch.zeros(3, 0)).shape == (3, 3)
    assert DIM > 1


def test_a_matrix_of_another_shape_is_refused() -> None:
    class OnlyTwoAxes(Distance):
        def matrix(self, x: Tensor, y: Tensor) -> Tensor:
            return (x[:, None] - y[None]).abs().sum(-1)

    class Transposed(Distance):
        def matrix(self, x: Tensor, y: Tensor) -> Tensor:
            return y @ x.mT

    x, y = rows(4), rows(3)
    torch.testing.assert_close(OnlyTwoAxes()(x, y), torch.cdist(x, y, p=1))
    with pytest.raises(MetricregError, match=r"OnlyTwoAxes.matrix made \[4, 4, 1\] of .* expected \[4, 1, 1\]"):
        OnlyTwoAxes().pairwise(x, x)
    with pytest.raises(MetricregError, match=r"Transposed.matrix made \[3, 4\]"):
        Transposed()(x, y)


class Longer(D.LpDistance):
    """Says what a matrix of distances is, and nothing of shortcuts."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * super().matrix(x, y)


class Shifted(D.LpDistance):
    """Says what distances are after all."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x, y) + 1.0


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("kind", [Longer, Shifted])
def test_distances_in_a_batch_are_those_of_a_subclass(
    kind: type[D.LpDistance], power: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)
    x, y, distance = rows(5), rows(41, seed=1), kind(power=power)
    labels, ref_labels = torch.arange(5), torch.arange(41) % 20
    batch = Batch.of(x, labels, ref_embeddings=y, ref_labels=ref_labels).with_context(StepContext(None, distance, True))
    torch.testing.assert_close(distance.between(batch), distance(x, y))
    near, counts = distance.to_positives(batch)
    assert near.shape == (5, 3)
    torch.testing.assert_close(near[counts], distance(x, y).gather(1, batch.positive_index[0])[counts])
    y = y[:9]
    plain = D.LpDistance(power=power)
    want = 2.0**power * plain(x, y) if kind is Longer else plain(x, y) + 1.0
    torch.testing.assert_close(kind(power=power)(x, y), want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every
def test_half_precision_by_hand_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    distance = MORE[name][0]()
    x, y = rows(4).detach().to(dtype), rows(3, 1).detach().to(dtype)
    found = distance(x, y)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, distance(x.float(), y.float()))
    torch.testing.assert_close(distance.pairwise(x[:3], y), distance(x[:3], y).diagonal(), rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(distance(x.float(), y.float()), found)
