"""Components of both libraries in one spec: each part does what it does alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from torch import Tensor

import metricreg

LABELS = torch.arange(16) // 4
PLANS: list[dict[str, Any]] = [{"plan": "dense"}, {"plan": "tiled", "tile": 5}]
DISTANCES = [
    {"name": "lp", "p": 1},
    {"name": "lp", "power": 2},
    {"name": "cosine"},
    {"name": "snr"},
    {"name": "dot_product", "power": 2},
]


def rows(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=generator, dtype=torch.float64).requires_grad_()


def results(spec: Any, x: Tensor, labels: Any = LABELS, **named: Any) -> tuple[Tensor, Tensor]:
    value = metricreg.build(spec).double()(x, labels, **named)
    return value.detach(), torch.autograd.grad(value, x)[0]


def pml(spec: dict[str, Any]) -> dict[str, Any]:
    return spec | {"name": f"pml/{spec['name']}"}


@pytest.mark.parametrize("execution", PLANS, ids=lambda plan: plan["plan"])
@pytest.mark.parametrize("loss", ["contrastive", "triplet_margin", "ntxent", "multi_similarity", "margin"])
@pytest.mark.parametrize("distance", DISTANCES, ids=str)
def test_their_distance_in_a_native_loss(distance: dict[str, Any], loss: str, execution: dict[str, Any]) -> None:
    x = rows(16)
    want = results({"loss": {"name": loss, "distance": distance}}, x)
    got = results({"loss": {"name": loss, "distance": pml(distance)}, "execution": execution}, x)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", ["contrastive", "triplet_margin", "ntxent", "nca", "supcon", "lifted_structure"])
@pytest.mark.parametrize("distance", DISTANCES, ids=str)
def test_a_native_distance_in_their_loss(distance: dict[str, Any], loss: str) -> None:
    x = rows(16)
    want = results({"loss": {"name": f"pml/{loss}", "distance": pml(distance)}}, x)
    got = results({"loss": {"name": f"pml/{loss}", "distance": distance}}, x)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


def test_a_distance_that_they_do_not_have_is_learned_in_their_loss() -> None:
    spec = {"loss": {"name": "pml/contrastive", "distance": {"name": "mahalanobis", "embedding_size": 6}}}
    objective = metricreg.build(spec).double()
    objective(rows(16), LABELS).backward()
    assert [bool(parameter.grad.abs().sum() > 0) for parameter in objective.parameters()] == [True]
    assert objective.to_spec()["loss"] == spec["loss"]


@pytest.mark.parametrize(
    "reducer", ["mean", "sum", "avg_non_zero", "per_anchor", {"name": "threshold", "low": 0.1, "high": 0.9}], ids=str
)
@pytest.mark.parametrize("loss", ["contrastive", "ntxent", "supcon", "nca"])
def test_reducers_of_either_in_losses_of_either(loss: str, reducer: Any) -> None:
    x = rows(16)
    reducer = {"name": reducer} if isinstance(reducer, str) else reducer
    exact = results({"loss": {"name": f"pml/{loss}", "reducer": pml(reducer)}}, x)
    for name, by in ((f"pml/{loss}", reducer), (loss, pml(reducer)), (loss, reducer)):
        torch.testing.assert_close(results({"loss": {"name": name, "reducer": by}}, x), exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", ["triplet_margin", "margin", "circle", "lifted_structure"])
@pytest.mark.parametrize("reducer", ["mean", "sum", "avg_non_zero"])
def test_their_reducer_of_triplets_and_columns(loss: str, reducer: str) -> None:
    x, tuples = rows(16), pm.TripletMarginMiner()(rows(16), LABELS)
    for named in ({}, {"tuples": tuples}):
        want = results({"loss": {"name": loss, "reducer": reducer}}, x, **named)
        got = results({"loss": {"name": loss, "reducer": f"pml/{reducer}"}}, x, **named)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)
        got = results({"loss": {"name": f"pml/{loss}", "reducer": reducer}}, x, **named)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


def test_divisors_and_repeated_pairs_count_in_both() -> None:
    x = rows(16)
    for name, by in (("margin", "pml/divisor"), ("pml/margin", "divisor")):
        got = results({"loss": {"name": name, "reducer": by}}, x)
        torch.testing.assert_close(got, results({"loss": "margin"}, x), rtol=1e-6, atol=1e-8)
    tuples = ([0, 0, 1], [1, 1, 2], [0, 4, 4], [5, 8, 8])
    for by in ("mean", "pml/mean"):
        got = results({"loss": {"name": "contrastive", "reducer": by}}, x, tuples=tuples)
        listed = tuple(torch.tensor(column) for column in tuples)
        want = pl.ContrastiveLoss(reducer=None if by == "x" else metricreg.create("reducer", "pml/mean").pml)
        torch.testing.assert_close(got[0], want(x, LABELS, listed).detach())


@pytest.mark.parametrize("miner", ["multi_similarity", "triplet_margin", "pair_margin", "batch_hard"])
def test_miners_of_either_with_losses_of_either(miner: str) -> None:
    x = rows(16)
    want = results({"loss": "contrastive", "miner": miner}, x)
    for loss in ("contrastive", "pml/contrastive"):
        for by in (miner, f"pml/{miner}"):
            torch.testing.assert_close(results({"loss": loss, "miner": by}, x), want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("miner", [None, "multi_similarity", "pml/multi_similarity", "pml/triplet_margin"])
@pytest.mark.parametrize("loss", ["contrastive", "ntxent", "triplet_margin"])
def test_memories_of_either_hold_losses_and_miners(loss: str, miner: str | None) -> None:
    inside = {"embedding_size": 6, "memory_size": 30, "miner": miner}
    native = metricreg.build({"loss": {"name": "cross_batch_memory", "loss": loss, **inside}}).double()
    others = [
        metricreg.build({"loss": {"name": name, "loss": f"pml/{loss}", **inside}}).double()
        for name in ("cross_batch_memory", "pml/cross_batch_memory")
    ]
    for step in range(4):
        x = rows(16, step)
        want = native(x, LABELS)
        for other in others:
            torch.testing.assert_close(other(x, LABELS), want, rtol=1e-6, atol=1e-8)


def test_sums_of_losses_of_either() -> None:
    x = rows(16)
    parts = {"weights": [1.0, 0.5], "miners": [None, "multi_similarity"]}
    want = results({"loss": {"name": "multiple", "losses": ["contrastive", "ntxent"], **parts}}, x)
    for name in ("multiple", "pml/multiple"):
        for losses in (["pml/contrastive", "ntxent"], ["contrastive", "pml/ntxent"]):
            got = results({"loss": {"name": name, "losses": losses, **parts}}, x)
            torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("symmetric", [True, False])
def test_two_views_of_either(symmetric: bool) -> None:
    x, y = rows(8), rows(8, 1)
    spec = {"name": "self_supervised", "loss": "ntxent", "symmetric": symmetric}
    want = results({"loss": spec}, x, None, ref_embeddings=y)
    for name in ("self_supervised", "pml/self_supervised"):
        spec |= {"name": name, "loss": "pml/ntxent"}
        got = results({"loss": spec}, x, None, ref_embeddings=y)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("regularizer", ["zero_mean", "pml/zero_mean", {"name": "zero_mean", "reducer": "pml/mean"}])
@pytest.mark.parametrize("loss", ["contrastive", "pml/contrastive"])
def test_penalties_of_either(loss: str, regularizer: Any) -> None:
    x = rows(16)
    spec = {"embedding_regularizer": "zero_mean", "embedding_reg_weight": 0.5}
    want = results({"loss": {"name": "contrastive", **spec}}, x)
    got = results({"loss": {"name": loss, **spec, "embedding_regularizer": regularizer}}, x)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


def test_a_miner_with_a_match_selects_for_their_loss() -> None:
    x, sets = rows(6), torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])
    miner = {"name": "multi_similarity", "match": "share_any"}
    want = results({"loss": "contrastive", "miner": miner}, x, sets)
    torch.testing.assert_close(results({"loss": "pml/contrastive", "miner": miner}, x, sets), want)


def test_the_same_rows_as_references_are_no_positives_of_themselves() -> None:
    x = rows(16)
    want = results({"loss": "contrastive"}, x, ref_embeddings=x, ref_labels=LABELS.clone())
    got = results({"loss": "pml/contrastive"}, x, ref_embeddings=x, ref_labels=LABELS.clone())
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


def test_their_miner_refuses_the_match_of_a_loss() -> None:
    spec = {"loss": {"name": "contrastive", "match": "share_any"}, "miner": "pml/multi_similarity"}
    with pytest.raises(metricreg.InputError, match="goes by equal labels alone"):
        metricreg.build(spec)(rows(4), torch.eye(4, dtype=torch.long))
