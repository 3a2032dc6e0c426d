"""What is printed: components with their parameters, selections with their numbers."""

from __future__ import annotations

import pytest
import torch

import metricreg
from metricreg import default_registry
from metricreg.registry import KINDS
from tests.examples import component

NAMED = [(kind, name) for kind in KINDS for name in default_registry().names(kind)]


def test_a_pipeline_shows_each_component_with_its_parameters() -> None:
    reducers = {"pos_loss": {"name": "threshold", "low": 0.1}}
    loss = {"name": "contrastive", "neg_margin": 0.5, "reducer": {"name": "multiple", "reducers": reducers}}
    printed = repr(metricreg.build({"loss": loss, "miner": {"name": "multi_similarity", "epsilon": 0.2}}))
    assert "(loss): ContrastiveLoss(\n    pos_margin=0.0, neg_margin=0.5" in printed
    assert "(distance): LpDistance(p=2.0, power=1.0, normalize=True)" in printed
    assert "(pos_loss): ThresholdReducer(low=0.1)" in printed
    assert "(miner): MultiSimilarityMiner(\n    epsilon=0.2, tuples_per_anchor='all'" in printed


def test_a_pipeline_shows_how_it_is_evaluated_if_that_was_said() -> None:
    spec = {"loss": "contrastive", "execution": {"plan": "tiled", "tile": 64}}
    assert "Pipeline(\n  execution=Execution(plan='tiled', tile=64, " in repr(metricreg.build(spec))
    assert "xecution" not in repr(metricreg.build({"loss": "contrastive"}))


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_every_component_shows_the_numbers_that_it_was_given(kind: str, name: str) -> None:
    made = component(kind, name)
    for key, value in made.to_spec(defaults=True).items():
        if isinstance(value, bool | int | float):
            assert f"{key}={value!r}" in made.extra_repr().split(", ")


def test_a_selection_shows_its_numbers() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert repr(metricreg.create("miner", "batch_hard")(torch.randn(4, 3), labels)) == "Triplets(4)"
    pairs = metricreg.Pairs.of(*(torch.tensor(rows) for rows in ([0, 1], [1, 0], [0], [2])))
    assert repr(pairs) == "Pairs(2 positive, 1 negative)"
