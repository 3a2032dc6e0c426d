"""Losses that sum over the negatives of an anchor: half of a symmetric comparison gives what all of it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch, Execution, MetricregError, Pairs, Term, distances
from metricreg.components.component import create
from metricreg.components.loss import Terms
from metricreg.losses.ntxent import NTXentLoss
from tests.largest_tensor import LargestTensor
from tests.oracle import assert_close, rows, value_and_gradients

LOSSES = [
    "circle",
    "decoupled_contrastive",
    "generalized_lifted_structure",
    "instance",
    "lifted_structure",
    "multi_similarity",
    "nca",
    "ntxent",
    "supcon",
    "tuplet_margin",
]
OF_COSINES = ("circle", "tuplet_margin")
LABELS = torch.arange(40) * 7 % 11
TILES = [7, 1000]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each time that pairs were summed, whether that was over half of them."""
    found: list[bool] = []
    pair_sums = Batch.pair_sums

    def watched(batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        found.append(batch.is_symmetric_comparison)
        return pair_sums(batch, function)

    monkeypatch.setattr(Batch, "pair_sums", watched)
    return found


def results(loss: Any, x: Tensor, execution: Execution, labels: Tensor = LABELS, **given: Any) -> list[Tensor]:
    x = x.detach().requires_grad_()
    return value_and_gradients(loss(x, labels, execution=execution, **given), [x, *loss.parameters()])


def tiled(tile: int) -> Execution:
    return Execution("tiled", tile=tile)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("distance", ["cosine", "dot_product", "lp", "lp squared", "lp raw"])
@pytest.mark.parametrize("name", LOSSES)
def test_half_of_a_comparison_is_as_all_of_it(name: str, distance: str, tile: int, halves: list[bool]) -> None:
    slots = {"lp squared": {"power": 2.0}, "lp raw": {"normalize": False}}.get(distance, {})
    if name in OF_COSINES and distance != "cosine":
        pytest.skip("works with cosines alone")
    loss = create("loss", name, distance=create("distance", distance.split()[0], **slots))
    assert_close(results(loss, rows(40), tiled(tile)), results(loss, rows(40), Execution("dense")), 1e-12)
    assert halves == [True] * (distance != "lp raw")  # which has no bounds


@pytest.mark.parametrize("name", LOSSES)
def test_so_it_is_in_single_precision(name: str, halves: list[bool]) -> None:
    torch.manual_seed(0)
    loss = create("loss", name, **({"gamma": 8.0} if name == "instance" else {}))  # of which the default is all but 0
    x, labels = torch.randn(300, 16), torch.randperm(300) % 60
    value, gradient = results(loss, x, tiled(64), labels)
    want, slope = results(loss, x, Execution("dense"), labels)
    assert halves == [True]
    torch.testing.assert_close(value, want, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(gradient, slope, rtol=0.0, atol=1e-5 * float(slope.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.01, 0.02])
def test_exponents_too_far_apart_are_summed_row_by_row(
    dtype: torch.dtype, temperature: float, halves: list[bool]
) -> None:
    loss, x = create("loss", "ntxent", temperature=temperature), rows(40).to(dtype)
    tolerance = 1e-12 if dtype is torch.float64 else 1e-5
    assert_close(results(loss, x, tiled(8)), results(loss, x, Execution("dense")), tolerance)
    assert halves == [True] * (dtype is torch.float64 or temperature == 0.02)


def test_without_negatives_there_is_nothing_to_sum() -> None:
    loss, x, label = create("loss", "multi_similarity"), rows(1), torch.zeros(1, dtype=torch.int64)
    assert_close(results(loss, x, tiled(7), label), results(loss, x, Execution("dense"), label), 1e-12)


def test_few_positives_of_many_dimensions_are_not_listed(halves: list[bool]) -> None:
    loss, x = create("loss", "ntxent"), torch.cat([rows(40), rows(40, 1)], dim=1)
    assert_close(results(loss, x, tiled(7)), results(loss, x, Execution("dense")), 1e-12)
    assert halves == []


@pytest.mark.parametrize("own", [True, False])
def test_a_batch_made_before_inference_has_its_value_there(own: bool) -> None:
    loss, x = create("loss", "ntxent"), rows(40).detach()
    batch = Batch.of(x, LABELS) if own else Batch(x, x, LABELS, LABELS)
    want = loss(batch, execution=Execution("dense"))
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            got = loss(batch, execution=tiled(7)).clone()
        torch.testing.assert_close(got, want, rtol=1e-12, atol=0.0)


class OwnTerms(NTXentLoss):
    """Makes all distances itself."""

    def terms(self, batch: Batch) -> Terms:
        distances = self.distance(batch.anchors, batch.references)
        negatives = torch.where(batch.negatives, distances / self.temperature, -torch.inf).logsumexp(1, keepdim=True)
        near, among = batch.at_positives(distances)
        return {"loss": Term(torch.nn.functional.softplus(negatives - near / self.temperature), among, kind="pos_pair")}


def test_a_plugin_with_terms_of_its_own_stays_in_the_memory_of_a_tile(halves: list[bool]) -> None:
    loss, x, labels = OwnTerms(), torch.randn(800, 5), torch.arange(800) // 2
    with LargestTensor() as largest:
        got = results(loss, x, tiled(40), labels)
    assert largest.numel < 800 * 400
    assert_close(got, results(loss, x, Execution("dense"), labels), 1e-5)
    assert halves == []


def test_a_comparison_that_is_not_symmetric_is_made_as_a_whole(halves: list[bool]) -> None:
    class Turned(distances.CosineSimilarity):
        def matrix(self, x: Tensor, y: Tensor) -> Tensor:
            return (x @ y.mT).square() * y.abs().amax(-1)

    x, loss = rows(40), create("loss", "supcon")
    for found, given in [
        (create("loss", "supcon", distance=Turned()), {}),
        (loss, {"ref_embeddings": rows(30, 1), "ref_labels": LABELS[:30]}),
        (loss, {"tuples": Pairs.of(*(torch.tensor(c) for c in ([2, 2, 1], [3, 4, 0], [0, 4], [1, 1])))}),
        (create("loss", "supcon", reducer=create("reducer", "do_nothing")), {}),
    ]:
        got = found(x, LABELS, execution=tiled(7), **given)
        if isinstance(got, Tensor):
            torch.testing.assert_close(got, found(x, LABELS, execution=Execution("dense"), **given))
    assert halves == []


def test_what_wants_no_gradient_is_summed_as_well(halves: list[bool]) -> None:
    loss = create("loss", "ntxent")
    torch.testing.assert_close(
        loss(rows(40).detach(), LABELS, execution=tiled(7)),
        loss(rows(40).detach(), LABELS, execution=Execution("dense")),
    )
    assert halves == [True]


def test_there_is_no_second_derivative() -> None:
    x = rows(40).requires_grad_()
    loss = create("loss", "ntxent")(x, LABELS, execution=tiled(7))
    with pytest.raises(MetricregError, match="has no second derivative"):
        torch.autograd.grad(loss, x, create_graph=True)


def test_what_is_not_finite_is_not_hidden() -> None:
    x = rows(40).detach()
    x[3] = torch.nan
    assert create("loss", "ntxent")(x, LABELS, execution=tiled(7)).isnan()


def test_tiles_are_for_the_positives_alone(halves: list[bool]) -> None:
    widths: list[int] = []

    class Watched(Execution):
        def tile_for(self, batch: Any, width: int, values_per_pair: int = 1) -> int | None:
            widths.append(width)
            return super().tile_for(batch, width)

    loss = create("loss", "ntxent")
    loss(rows(40), LABELS, execution=Watched("tiled", tile=7))
    assert halves == [True]
    assert widths == [40, 3 * 5]  # at most 3 positives, of 5 dimensions


@pytest.mark.parametrize("name", LOSSES)
def test_without_positives_there_are_negatives_to_sum(name: str, halves: list[bool]) -> None:
    loss, each = create("loss", name), torch.arange(40)
    assert_close(results(loss, rows(40), tiled(7), each), results(loss, rows(40), Execution("dense"), each), 1e-12)
    assert halves == [True]


class Lopsided(NTXentLoss):
    """Of a pair it makes another exponent with the samples exchanged."""

    def exponents(self, distances: Tensor) -> tuple[Tensor, float, float]:
        x, scale, shift = super().exponents(distances)
        return x * torch.linspace(0.5, 1.0, x.shape[-1], dtype=x.dtype), scale, shift


def test_exponents_that_change_with_samples_exchanged_are_refused() -> None:
    with pytest.raises(MetricregError, match=r"Lopsided\.exponents makes of some pairs other exponents"):
        Lopsided()(rows(40), LABELS, execution=tiled(7))
