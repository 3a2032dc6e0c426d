"""`metricreg.explain`: plan, reasons and costs, beside what the engine does and what is measured."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch

import metricreg
from benchmarks.explained_memory import compared
from metricreg import Batch, Execution, Explanation, InputError, Loss, SpecError, Term, explain
from metricreg import losses as L
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.steps import spec_step
from metricreg.explanation.cost import Cost, Product, TooLargeError
from metricreg.registry import default_registry


def tiled(loss: Any, tile: int) -> dict[str, Any]:
    return {"loss": loss, "execution": {"plan": "tiled", "tile": tile}}


def the_loss(found: Explanation) -> Any:
    (loss,) = found.losses
    return loss


def flop_of(cost: Cost) -> float:
    return sum(product.flop for product in cost.products.values())


@pytest.mark.parametrize("name", default_registry().names("loss"))
def test_every_loss_is_explained_by_its_name(name: str) -> None:
    found = explain(name, batch=32, dim=16)
    assert found.peak > 0
    assert all(loss.terms for loss in found.losses)
    assert json.loads(json.dumps(found.as_json()))["losses"][0]["plan"] == "dense"
    assert f"loss {found.losses[0].name}  (/loss" in str(found)


@pytest.mark.parametrize("name", ["triplet_margin", "supcon", "contrastive", "arcface", "npairs", "fast_ap"])
def test_some_tiles_stand_for_all(name: str) -> None:
    """Products and bytes of a sweep of many tiles, of which four are evaluated, are those of all."""
    sizes = {"num_classes": 21, "embedding_size": 16} if name == "arcface" else {}
    spec, inputs = fit(tiled({"name": name, **sizes}, 6 if name != "npairs" else 2), Inputs(63, 16, 3))
    found = explain(spec, batch=63, dim=16, per_class=3)
    step = spec_step(inputs, spec)
    with Cost() as cost:
        step()
    assert the_loss(found).tiles > 5
    assert found.flop == pytest.approx(flop_of(cost), rel=0.05)
    assert found.moved == pytest.approx(cost.moved, rel=0.05)
    assert found.peak == pytest.approx(cost.peak, rel=0.05)


def test_few_tiles_of_many_are_evaluated_and_nothing_is_left_behind() -> None:
    calls = []

    class Counted(L.NTXentLoss):
        def terms(self, batch: Batch) -> Any:
            calls.append(len(batch))
            return super().terms(batch)

    pipeline = metricreg.Pipeline(Counted(), execution=Execution("tiled", tile=2))
    random = torch.get_rng_state()
    found = explain(pipeline, batch=100, dim=4)
    assert (the_loss(found).name, the_loss(found).tiles) == ("Counted", 50)
    assert len(calls) - 2 * 4 < 10  # but for those in which its promises are looked at
    assert torch.equal(torch.get_rng_state(), random)
    x, labels = torch.randn(100, 4, requires_grad=True), torch.arange(100) // 2
    torch.testing.assert_close(pipeline(x, labels), L.NTXentLoss()(x, labels, execution=Execution("dense")))


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_that_of_the_engine_and_says_why() -> None:
    small, large = (the_loss(explain("fast_ap", batch=n, dim=4)) for n in (64, 4096))
    assert (small.plan, small.tiles) == ("dense", 1)
    assert small.why == "64 anchors x 64 references = 4.1 K values, within the limit of a CPU"
    assert large.plan == "tiled"
    assert large.why == "4096 anchors x 4096 references = 16.8 M values, over the limit of a CPU"
    loss = the_loss(explain(tiled("fast_ap", 3), batch=8, dim=4))
    assert (loss.plan, loss.tile, loss.tiles) == ("tiled", 3, 3)
    assert loss.why == "execution.plan is tiled; execution.tile is 3"
    loss = the_loss(explain(tiled({"name": "contrastive", "reducer": "do_nothing"}, 2), batch=8, dim=4))
    assert loss.plan == "dense"
    assert loss.why == "the reducer do_nothing has no statistics that add up over anchors"


def test_a_gpu_has_its_own_tiles() -> None:
    found = explain("ntxent", batch=1600, dim=4, device="cuda")
    assert the_loss(found).plan == "dense"
    assert "within the limit of a GPU" in the_loss(found).why
    assert bool(found.notes) != torch.cuda.is_available()


def test_half_of_a_symmetric_comparison_is_said_to_be_evaluated() -> None:
    loss = the_loss(found := explain(tiled("contrastive", 32), batch=512, dim=4))
    assert (loss.symmetric, loss.anchors, loss.references) == (True, 512, 512)
    assert f"tiled, {loss.tiles} tiles of 32 and more, on and above the diagonal: 512 anchors" in str(found)
    assert not the_loss(explain(tiled("fast_ap", 32), batch=512, dim=4)).symmetric


class TwoSlopes(Loss):
    """Two terms of as many values, so that their slopes are needed before their gradient."""

    def terms(self, batch: Batch) -> dict[str, Term]:
        d = self.distance(batch.anchors, batch.references)
        return {"near": Term(d, batch.positives, "pos_pair"), "far": Term(-d, batch.negatives, "neg_pair")}


def test_terms_are_named_and_their_gradient_is_made_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = metricreg.Pipeline(TwoSlopes(), execution=Execution("tiled", tile=8))
    near, far = the_loss(explain(pipeline, batch=32, dim=4)).terms
    assert (near.name, near.kind, far.name, far.kind) == ("near", "pos_pair", "far", "neg_pair")
    calls = []
    original = TwoSlopes.terms
    monkeypatch.setattr(TwoSlopes, "terms", lambda self, batch: calls.append(1) or original(self, batch))
    total = pipeline(torch.randn(32, 4, requires_grad=True), torch.arange(32) // 4)
    forward = len(calls)
    total.backward()
    assert near.gradient == ("second sweep" if len(calls) > forward else "forward sweep")
    assert the_loss(explain(tiled("fast_ap", 8), batch=32, dim=4)).terms[0].gradient == "forward sweep"
    assert the_loss(explain("fast_ap", batch=32, dim=4)).terms[0].gradient == "backward pass"


def test_what_is_made_once_is_a_term_too() -> None:
    names = {term.name for term in the_loss(explain("vicreg", batch=16, dim=4)).terms}
    assert {"invariance_loss", "covariance_loss"} <= names
    assert the_loss(explain("manifold", batch=16, dim=4)).why == "nothing of it is a sum over anchors"


def test_each_loss_of_several_and_each_miner_is_explained() -> None:
    arcface = {"name": "arcface", "num_classes": 8, "embedding_size": 4}
    losses = {"a": "contrastive", "b": arcface}
    spec = {"loss": {"name": "multiple", "losses": losses, "miners": {"a": "multi_similarity"}}}
    found = explain(spec, batch=32, dim=4)
    assert [(loss.pointer, loss.name) for loss in found.losses] == [
        ("/loss/losses/a", "contrastive"),
        ("/loss/losses/b", "arcface"),
    ]
    assert [loss.references for loss in found.losses] == [32, 8]
    (miner,) = found.miners
    assert (miner.pointer, miner.name, list(miner.found)) == (
        "/loss/miners/a",
        "multi_similarity",
        ["positive pairs", "negative pairs"],
    )


def test_a_memory_is_explained_when_it_is_full() -> None:
    spec = {"loss": {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4, "memory_size": 50}}
    assert the_loss(explain(spec, batch=16, dim=4)).references == 50


# -- costs ------------------------------------------------------------------------------------------------------------


def test_products_bytes_and_memory_are_counted() -> None:
    a, b, out = torch.ones(4, 8), torch.ones(8, 2), torch.zeros(4, 2)
    with Cost() as cost:
        product = a @ b
        twice = product.T * 2.0
        del product
        assert cost.live == 4 * 8
        del twice
        out.addmm_(a, b)
        assert (cost.live, cost.peak) == (0, 2 * 4 * 8)
        torch.ones(100, dtype=torch.bool).sum()  # converted as a whole on a CPU
    assert list(cost.products.values()) == [Product("[4, 8] x [8, 2]", 2, 2 * 2 * 4 * 8 * 2)]
    assert cost.peak == 100 + 8 + 800


def test_what_would_pass_a_limit_is_not_made() -> None:
    x = torch.ones(2**12)
    with Cost(limit=2**22) as cost, pytest.raises(TooLargeError):
        _ = x[:, None] * x[None, :]
    assert (cost.live, cost.peak) == (0, 4 * 2**24)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of the resident set from /proc")
@pytest.mark.parametrize(
    ("name", "n"),
    [("supcon", 1024), ("contrastive", 2048), ("arcface", 2048), ("margin", 1024), ("soft_triple", 2048)],
)
def test_the_memory_is_that_which_is_measured(name: str, n: int) -> None:
    predicted, measured = compared(name, n)
    assert predicted == pytest.approx(measured, rel=0.25)


def test_a_step_that_is_too_large_is_stopped_and_what_is_known_of_it_is_a_bound() -> None:
    found = explain({"loss": "fast_ap", "execution": {"plan": "dense"}}, batch=60_000, dim=8)
    assert not found.complete
    assert found.as_json()["complete"] is False
    assert (the_loss(found).anchors, the_loss(found).plan) == (60_000, "dense")
    assert found.peak >= 4 * 60_000**2
    assert "matrix products   at least" in str(found)
    assert "peak memory       at least 13" in str(found)
    assert "was not tried to its end" in found.notes[0]
    small = explain({"loss": "fast_ap", "execution": {"plan": "dense"}}, batch=64, dim=8)
    assert small.complete
    assert "at least" not in str(small)


def test_where_a_miner_finds_too_much_the_plan_of_the_loss_is_known_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metricreg.explanation.explainer.LIMIT", 2**27)
    found = explain({"loss": "triplet_margin", "miner": "triplet_margin"}, batch=4096, dim=4)
    assert (found.complete, found.miners) == (False, [])
    assert the_loss(found).plan == "tiled"


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        ("supcon", {"batch": 2.5}, "batch is a whole number, at least 1"),
        ("supcon", {"references": 0}, "references is a whole number, at least 1"),
        ("supcon", {"device": "tpu"}, "device is one of cpu, cuda; got 'tpu'"),
        ("supcon", {"dtype": "int8"}, "dtype is one of float32"),
        ("arcface", {"classes": 2**24, "dim": 2**20}, "and their gradients need"),
        ({"loss": {"name": "arcface", "num_classes": 5, "embedding_size": 4}}, {"classes": 6}, "give at most 5"),
        ("arcface", {"references": 4}, "takes no ref_embeddings"),
        ({"loss": "supconn"}, {}, "did you mean 'supcon'"),
        (7, {}, "a spec is an object"),
    ],
)
def test_what_does_not_fit_is_refused(spec: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, SpecError)) as error:
        explain(spec, **({"batch": 8, "dim": 4} | changes))
    assert message in str(error.value)
