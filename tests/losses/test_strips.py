"""Functions of rows in strips: as in plain operations, in value and in every derivative."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from metricreg import Execution, cache, create
from metricreg.functional.strips import Rowwise
from tests.oracle import assert_close, rows, value_and_gradients

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in forward mode

LOSSES: dict[str, dict[str, Any]] = {
    "angular": {},
    "circle": {},
    "fast_ap": {},
    "histogram": {},
    "intra_pair_variance": {"pos_eps": 0.0, "neg_eps": 0.0},
    "ntxent": {},
    "pnp": {"anneal": 0.1},
    "ranked_list": {"margin": 0.4, "Tn": 10.0, "Tp": 3.0},
    "ranked_list without temperature": {"margin": 0.4, "Tn": 0.0},
    "recall_at_k": {"temperature": 0.1},
    "selectively_contrastive_triplet": {"temperature": 0.1},
    "selectively_contrastive_triplet between bounds": {"reducer": {"name": "threshold", "low": 0.1, "high": 0.9}},
    "siglip": {"temperature": 300.0},
    "smooth_ap": {"temperature": 0.1},
    "soft_triple": {"num_classes": 20, "embedding_size": 5, "gamma": 0.003},
    "threshold_consistent_margin": {},
}


class Powers(Rowwise):
    """Two sums a row."""

    def plain(self, values: Tensor) -> Tensor:
        return torch.stack([values.exp().sum(1), values.pow(3).sum(1)], 1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        return self.plain(values)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        torch.add(values.exp() * gradient[:, :1], 3.0 * values.square() * gradient[:, 1:], out=out)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "STRIP", 7 * 80)
    monkeypatch.setattr("metricreg.batch.samples.LISTED", 0)


@pytest.mark.parametrize("power", [-3, 0])  # embeddings as they are, and all but equal
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", LOSSES)
def test_strips_of_a_matrix_are_as_the_whole_in_plain_operations(
    case: str, dtype: torch.dtype, power: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    loss = create("loss", case.split()[0], **LOSSES[case]).to(dtype)
    x = (1.0 + 10.0**power * rows(80).detach()).to(dtype) if power else rows(80).detach().to(dtype)
    x.requires_grad_()
    labels = torch.arange(80) // 4
    inputs = [x, *loss.parameters()]

    def found(plan: Execution) -> list[Tensor]:
        return value_and_gradients(loss(x, labels, execution=plan), inputs)

    plans = [Execution("dense"), Execution("tiled", tile=30)]
    got = [found(plan) for plan in plans]
    monkeypatch.setattr(Rowwise, "__call__", lambda self, values: self.plain(values))
    want = found(Execution("dense"))
    assert want[0] > 0
    for parts in got:
        assert_close(parts, want, 1e-9 if dtype is torch.float64 else 1e-3)


class Cubes(Rowwise):
    """A sum a row, whose derivative is kept."""

    keeps: ClassVar[bool] = True

    def plain(self, values: Tensor) -> Tensor:
        return values.pow(3).sum(1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        return self.plain(values)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        torch.mul(3.0 * values.square(), gradient[:, None], out=out)


class OfTwoRows(Rowwise):
    """Products of each row and the next."""

    across: ClassVar[bool] = True

    def rows(self, values: Tensor) -> int:
        return max(len(values) - 1, 0)

    def plain(self, values: Tensor) -> Tensor:
        return (values[:-1] * values[1:]).sum(1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        return (values[:-1][rows] * values[1:][rows]).sum(1)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        out[:-1][rows] += gradient[:, None] * values[1:][rows]
        out[1:][rows] += gradient[:, None] * values[:-1][rows]


@pytest.mark.parametrize("function", [Powers(), Cubes(), OfTwoRows()], ids=lambda f: type(f).__name__)
def test_has_every_derivative(function: Rowwise) -> None:
    x = rows(9).requires_grad_()
    assert len(list(cache.strips(torch.empty(9, 80)))) == 2
    assert torch.autograd.gradcheck(function, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, x)

    def total(values: Tensor) -> Tensor:
        return function(values).square().sum()

    many = torch.stack([rows(4, seed).detach() for seed in range(3)])
    want = torch.func.vmap(torch.func.hessian(lambda values: function.plain(values).square().sum()))(many)
    torch.testing.assert_close(torch.func.vmap(torch.func.hessian(total))(many), want)
    found = torch.autograd.functional.hessian(total, many[0])  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, want[0])


@pytest.mark.parametrize("function", [Powers(), Cubes()], ids=lambda f: type(f).__name__)
def test_entries_given_along_have_every_derivative(function: Rowwise) -> None:
    index = torch.tensor([[1, 4], [0, 0]]).repeat(5, 1)[:9]
    x = rows(9).requires_grad_()

    def both(values: Tensor) -> tuple[Tensor, Tensor]:
        return function.with_entries(values, index[: len(values)])

    assert torch.autograd.gradcheck(both, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(both, x)
    assert both(x)[1].equal(x.gather(1, index))

    def total(values: Tensor) -> Tensor:
        found, entries = both(values)
        return found.square().sum() + (entries.pow(3)).sum()

    def plain(values: Tensor) -> Tensor:
        return function.plain(values).square().sum() + values.gather(1, index[: len(values)]).pow(3).sum()

    many = torch.stack([rows(4, seed).detach() for seed in range(3)])
    want = torch.func.vmap(torch.func.hessian(plain))(many)
    torch.testing.assert_close(torch.func.vmap(torch.func.hessian(total))(many), want)


def test_entries_given_along_may_be_all_that_is_used() -> None:
    x = rows(9).requires_grad_()
    index = torch.full((9, 1), 2)
    found, entries = Cubes().with_entries(x, index)
    (gradient,) = torch.autograd.grad(entries.sum(), x, retain_graph=True)
    assert gradient.equal(torch.zeros_like(x).scatter(1, index, 1.0))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, 3.0 * x.detach().square())


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_nothing_is_nothing(shape: tuple[int, int]) -> None:
    x = torch.zeros(shape, requires_grad=True)
    found = Powers()(x)
    assert found.shape == (shape[0], 2)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.shape == shape


def test_what_is_kept_may_be_differentiated_again_and_again() -> None:
    x = rows(9).requires_grad_()
    value = Cubes()(x).sum()
    first, second = (torch.autograd.grad(value, x, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, 3.0 * x.detach().square())
    assert first.equal(second)
