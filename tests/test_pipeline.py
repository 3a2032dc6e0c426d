"""Pipelines: a built spec as a module."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import Execution, InputError, Pipeline, SpecError, Triplets, build
from metricreg.losses import ContrastiveLoss, NTXentLoss
from metricreg.miners import BatchHardMiner, MultiSimilarityMiner
from metricreg.reducers import MeanReducer

X = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(10) % 3
SPEC: dict[str, Any] = {
    "version": 1,
    "loss": {
        "name": "multiple",
        "losses": {"pairs": {"name": "contrastive", "neg_margin": 0.5}, "classes": {"name": "arcface", "num_classes": 3, "embedding_size": 4}},
        "weights": {"pairs": 1.0, "classes": 0.1},
    },
    "miner": {"name": "multi_similarity", "epsilon": 0.3},
    "requires": {"torch": ">=2"},
    "execution": {"plan": "dense"},
}  # fmt: skip


def test_a_pipeline_is_its_loss_on_what_its_miner_selects() -> None:
    loss, miner = ContrastiveLoss(neg_margin=0.8), MultiSimilarityMiner(epsilon=0.3)
    pipeline = Pipeline(loss, miner)
    assert torch.equal(pipeline(X, LABELS), loss(X, LABELS, tuples=miner(X, LABELS)))
    assert torch.equal(Pipeline(loss)(X, LABELS), loss(X, LABELS))


def test_reference_sets_reach_the_miner_and_the_loss() -> None:
    loss, miner = ContrastiveLoss(neg_margin=0.8), BatchHardMiner()
    named = {"ref_embeddings": X[:6] + 1, "ref_labels": LABELS[:6]}
    mined = miner(X, LABELS, **named)
    assert torch.equal(Pipeline(loss, miner)(X, LABELS, **named), loss(X, LABELS, tuples=mined, **named))


def test_tuples_are_for_pipelines_without_a_miner() -> None:
    triplets = Triplets.of(*(torch.tensor([i]) for i in (0, 3, 1)))
    assert Pipeline(ContrastiveLoss())(X, tuples=triplets).isfinite()
    with pytest.raises(InputError, match="this pipeline has a miner, which chooses the tuples"):
        Pipeline(ContrastiveLoss(), BatchHardMiner())(X, LABELS, tuples=triplets)


def test_terms_are_unreduced_and_reduce_to_the_loss() -> None:
    pipeline = Pipeline(NTXentLoss(), MultiSimilarityMiner())
    terms = pipeline.terms(X, LABELS)
    assert list(terms) == ["loss"]
    torch.testing.assert_close(MeanReducer()(terms["loss"]), pipeline(X, LABELS))


def test_the_execution_of_the_spec_is_used() -> None:
    values = [
        build({"loss": "ntxent", "execution": execution})(X, LABELS)
        for execution in ({"plan": "dense"}, {"plan": "tiled", "tile": 3}, {"plan": "auto"})
    ]
    torch.testing.assert_close(values[1:], values[:1] * 2, rtol=1e-12, atol=0)
    x = X.clone().requires_grad_()
    with pytest.raises(metricreg.MetricregError, match=r"no second derivative; build with .*dense"):
        _second_derivative(build({"loss": "ntxent", "execution": {"plan": "tiled", "tile": 3}}), x)
    assert _second_derivative(build({"loss": "ntxent", "execution": {"plan": "dense"}}), x).isfinite().all()


def _second_derivative(pipeline: Pipeline, x: torch.Tensor) -> torch.Tensor:
    (first,) = torch.autograd.grad(pipeline(x, LABELS), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return second


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("contrastive",), "needs a Loss instance; got str; specs go to metricreg.build"),
        (({"name": "contrastive"},), "needs a Loss instance; got dict"),
        ((MeanReducer(),), "needs a Loss instance; got MeanReducer"),
        ((ContrastiveLoss(), "batch_hard"), "needs a Miner instance or None; got str"),
        ((ContrastiveLoss(), ContrastiveLoss()), "needs a Miner instance or None; got ContrastiveLoss"),
    ],
)
def test_a_pipeline_by_hand_takes_instances(arguments: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Pipeline(*arguments)


def test_a_pipeline_by_hand_has_a_spec() -> None:
    pipeline = Pipeline(NTXentLoss(temperature=0.5), BatchHardMiner(), Execution("tiled", 4), {"torch": ">=2"})
    assert pipeline.to_spec() == {
        "version": 1,
        "loss": {"name": "ntxent", "temperature": 0.5},
        "miner": "batch_hard",
        "requires": {"torch": ">=2"},
        "execution": {"plan": "tiled", "tile": 4},
    }
    assert Pipeline(NTXentLoss()).to_spec() == {"version": 1, "loss": "ntxent"}
    assert Pipeline(NTXentLoss()).to_spec(defaults=True)["execution"] == {
        "plan": "auto",
        "distributed": "auto",
        "gradient": "ddp",
    }


def test_its_parameters_are_those_of_the_loss() -> None:
    pipeline = build(SPEC)
    assert [name for name, _ in pipeline.named_parameters()] == ["loss.losses.classes.proxies"]
    assert list(pipeline.state_dict()) == ["loss.losses.classes.proxies"]


def test_building_twice_gives_two_pipelines() -> None:
    first, second = build(SPEC), build(SPEC)
    assert not {id(m) for m in first.modules()} & {id(m) for m in second.modules()}


def test_a_registry_of_ones_own_is_the_only_one_looked_at() -> None:
    with pytest.raises(SpecError, match="unknown loss 'contrastive'"):
        build({"loss": "contrastive"}, registry=metricreg.Registry())
