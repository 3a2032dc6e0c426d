"""`metricreg.explain`: plan, reasons and costs, beside what the engine does and what is measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import metricreg
from benchmarks.explained_memory import GIVES_BACK, measured
from metricreg import Batch, Execution, Explanation, InputError, Loss, SpecError, Term, explain
from metricreg import losses as L
from metricreg.engine.execution import CPU_VALUES
from metricreg.explanation.ledger import Ledger, Product
from metricreg.explanation.subject import Sizes, Subject
from metricreg.registry import default_registry
from tests.largest_tensor import LargestTensor


def tiled(loss: Any, tile: int | None = None) -> dict[str, Any]:
    return {"loss": loss, "execution": {"plan": "tiled"} | ({} if tile is None else {"tile": tile})}


def the_loss(found: Explanation) -> Any:
    (loss,) = found.losses
    return loss


# -- what is said of every loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", default_registry().names("loss"))
def test_every_loss_is_explained_by_its_name(name: str) -> None:
    found = explain(name, batch=32, dim=16)
    assert found.losses
    assert found.peak > 0
    assert all(loss.terms for loss in found.losses)
    assert json.loads(json.dumps(found.as_json()))["losses"][0]["plan"] in ("dense", "tiled")
    assert name in str(found) or name in ("multiple", "cross_batch_memory", "self_supervised")


@pytest.mark.parametrize("name", ["triplet_margin", "supcon", "arcface", "npairs", "fast_ap"])
def test_some_tiles_stand_for_all(name: str) -> None:
    """Products and bytes of a sweep of 11 tiles, of which four are evaluated, are those of all eleven."""
    sizes = {"num_classes": 21, "embedding_size": 16} if name == "arcface" else {}
    spec = tiled({"name": name, **sizes}, 6 if name != "npairs" else 2)
    found = explain(spec, batch=63, dim=16, per_class=3)
    assert the_loss(found).tiles == 11
    subject = Subject(spec, Sizes(63, 16, per_class=3), "cpu", "float32")
    pipeline, inputs = subject.pipeline(), subject.inputs()
    with Ledger() as ledger:
        pipeline(inputs.embeddings, inputs.labels).backward()
    assert {p.shapes: p.count for p in found.products} == {str(p): n for p, n in ledger.account.products.items()}
    assert found.flop == ledger.account.flop
    assert found.moved == pytest.approx(ledger.account.moved, rel=1e-3)
    assert found.peak == pytest.approx(ledger.peak, rel=0.02)


def test_few_tiles_of_many_are_evaluated() -> None:
    calls = []

    class Counted(L.NTXentLoss):
        def terms(self, batch: Batch) -> Any:
            calls.append(len(batch))
            return super().terms(batch)

    found = explain(metricreg.Pipeline(Counted(), execution=Execution("tiled", tile=2)), batch=100, dim=4)
    assert the_loss(found).tiles == 50
    assert len(calls) < 10


def test_nothing_is_left_behind() -> None:
    loss = L.CrossBatchMemoryLoss(L.ContrastiveLoss(), embedding_size=4, memory_size=16)
    pipeline = metricreg.Pipeline(loss, execution=Execution("tiled", tile=1))
    state, random = [t.clone() for t in pipeline.state_dict().values()], torch.get_rng_state()
    explain(pipeline, batch=8, dim=4)
    assert pipeline.execution == Execution("tiled", tile=1)
    assert all(map(torch.equal, pipeline.state_dict().values(), state))
    assert torch.equal(torch.get_rng_state(), random)
    x, labels = torch.randn(8, 4, requires_grad=True), torch.arange(8) // 2
    whole = L.NTXentLoss()(x, labels, execution=Execution("tiled", tile=1))
    torch.testing.assert_close(whole, L.NTXentLoss()(x, labels, execution=Execution("dense")))


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_by_size() -> None:
    loss = the_loss(explain("fast_ap", batch=64, dim=4))
    assert (loss.plan, loss.tiles) == ("dense", 1)
    assert "64 anchors x 64 values = 4.1 K values, within the limit" in loss.why
    batch = int(CPU_VALUES**0.5) + 1
    loss = the_loss(explain("fast_ap", batch=batch, dim=4))
    x = torch.empty(batch, 4)
    assert loss.plan == "tiled"
    assert loss.tile == Execution().tile_for(Batch(x, x), batch)
    assert "over the limit" in loss.why
    assert "for a CPU" in loss.why


def test_the_plan_is_that_of_the_spec() -> None:
    assert the_loss(explain({"loss": "ntxent", "execution": {"plan": "dense"}}, batch=8, dim=4)).why == (
        "execution.plan is dense"
    )
    loss = the_loss(explain(tiled("ntxent", 3), batch=8, dim=4))
    assert (loss.plan, loss.tile, loss.tiles) == ("tiled", 3, 3)
    assert loss.why == "execution.plan is tiled; execution.tile is 3"


def test_a_reducer_that_adds_nothing_up_is_dense() -> None:
    spec = tiled({"name": "contrastive", "reducer": "do_nothing"}, 2)
    loss = the_loss(explain(spec, batch=8, dim=4))
    assert loss.plan == "dense"
    assert loss.why == "the reducer do_nothing has no statistics that add up over anchors"
    assert all(term.statistics is None for term in loss.terms)


def test_a_gpu_has_its_own_tiles() -> None:
    loss = the_loss(explain("ntxent", batch=1600, dim=4, device="cuda"))
    assert loss.plan == "dense"
    assert "for a GPU" in loss.why
    if not torch.cuda.is_available():
        assert "there is no GPU here" in explain("ntxent", batch=8, dim=4, device="cuda").notes[0]


def test_sums_over_negatives_of_half_a_comparison_are_for_a_cpu() -> None:
    flop = {device: explain(tiled("ntxent"), batch=2048, dim=4, device=device).flop for device in ("cpu", "cuda")}
    assert flop["cuda"] == 3 * 2 * 2048**2 * 4
    assert flop["cpu"] < 0.95 * flop["cuda"]


# -- the terms --------------------------------------------------------------------------------------------------------


def test_terms_are_named_with_shapes_and_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.engine.execution.LISTED", 0)
    pull, push = the_loss(explain(tiled({"name": "contrastive", "power": 2.0}, 8), batch=32, dim=4)).terms
    assert (pull.name, pull.kind, pull.axes, pull.shape) == ("pos_loss", "pos_pair", "[A, K]", (8, 3))
    assert (push.name, push.kind, push.axes) == ("neg_loss", "neg_pair", "[A, M]")
    assert [(s.dtype, s.carries_gradient) for s in push.statistics or ()] == [("float32", True), ("int64", False)]


def test_the_values_of_hinges_are_not_made_to_be_explained() -> None:
    with LargestTensor() as largest:
        (term,) = the_loss(explain("triplet_margin", batch=64, dim=4, per_class=16)).terms
    assert term.shape is None
    assert term.axes == "relu of [A, K] + [A, M]"
    assert largest.numel < 64 * 16 * 64


class TwoSlopes(Loss):
    """Two terms of as many values, so that their slopes are needed before their gradient."""

    def terms(self, batch: Batch) -> dict[str, Term]:
        d = self.distance(batch.anchors, batch.references)
        return {"near": Term(d, batch.positives), "far": Term(-d, batch.negatives)}


def test_the_gradient_is_made_where_it_is_said() -> None:
    def when(pipeline: Any) -> set[str]:
        return {term.gradient for term in the_loss(explain(pipeline, batch=32, dim=4)).terms}

    assert when(tiled("ntxent", 8)) == {"forward sweep"}
    assert when({"loss": "ntxent", "execution": {"plan": "dense"}}) == {"backward pass"}
    pipeline = metricreg.Pipeline(TwoSlopes(), execution=Execution("tiled", tile=8))
    calls = []
    original = TwoSlopes.terms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwoSlopes, "terms", lambda self, batch: calls.append(1) or original(self, batch))
        x = torch.randn(32, 4, requires_grad=True)
        total = pipeline(x, torch.arange(32) // 4)
        forward = len(calls)
        total.backward()
    again = "second sweep" if len(calls) > forward else "forward sweep"
    assert when(pipeline) == {again}


def test_what_is_made_once_is_a_term_too() -> None:
    names = {term.name for term in the_loss(explain("vicreg", batch=16, dim=4)).terms}
    assert {"invariance_loss", "covariance_loss"} <= names
    assert the_loss(explain("manifold", batch=16, dim=4)).why == "nothing of it is a sum over anchors"


# -- losses made of losses, miners, state -----------------------------------------------------------------------------


def test_each_loss_of_several_and_each_miner_is_explained() -> None:
    spec = {
        "loss": {
            "name": "multiple",
            "losses": {"a": "contrastive", "b": {"name": "arcface", "num_classes": 8, "embedding_size": 4}},
            "miners": {"a": "multi_similarity"},
        },
    }
    found = explain(spec, batch=32, dim=4)
    assert [(loss.pointer, loss.name) for loss in found.losses] == [
        ("/loss/losses/a", "contrastive"),
        ("/loss/losses/b", "arcface"),
    ]
    assert [loss.selection for loss in found.losses] == ["Pairs", ""]
    assert [loss.references for loss in found.losses] == [32, 8]
    (miner,) = found.miners
    assert (miner.pointer, miner.name, miner.found) == ("/loss/miners/a", "multi_similarity", "Pairs")
    assert "positive pairs" in str(found)


def test_a_memory_is_explained_when_it_is_full() -> None:
    spec = {"loss": {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4, "memory_size": 50}}
    assert the_loss(explain(spec, batch=16, dim=4)).references == 50


def test_a_plugins_loss_is_explained() -> None:
    class Doubled(L.NTXentLoss):
        pass

    found = explain(metricreg.Pipeline(Doubled()), batch=8, dim=4)
    assert the_loss(found).name == "Doubled"
    assert found.flop == explain("ntxent", batch=8, dim=4).flop


# -- costs ------------------------------------------------------------------------------------------------------------


def test_the_ledger_counts_products_bytes_and_memory() -> None:
    a, b = torch.ones(4, 8), torch.ones(8, 2)
    with Ledger() as ledger:
        product = a @ b
        view = product.T
        twice = view * 2.0
        del product, view
        assert ledger.live == 2 * 4 * 8 - 4 * 8
        del twice
    assert ledger.account.products == {Product(4, 8, 2): 1}
    assert ledger.account.flop == 2 * 4 * 8 * 2
    assert ledger.account.moved == 2 * 4 * 8
    assert (ledger.live, ledger.peak) == (0, 2 * 4 * 8)


def test_the_ledger_knows_of_operands_that_are_converted() -> None:
    with Ledger() as ledger:
        torch.ones(100, dtype=torch.bool).sum()
    assert ledger.peak == 100 + 8 + 800


MEASURED = [("supcon", 1024), ("contrastive", 2048), ("arcface", 2048), ("margin", 1024), ("soft_triple", 2048)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of the resident set from /proc")
@pytest.mark.parametrize(("name", "n"), MEASURED)
def test_the_memory_is_that_which_is_measured(name: str, n: int) -> None:
    predicted = explain(name, batch=n, dim=256).peak / 2**20
    assert predicted == pytest.approx(measured(name, n, 256, **GIVES_BACK), rel=0.25)


def test_what_is_too_large_is_carried_on_from_smaller_steps() -> None:
    dense = {"loss": "supcon", "execution": {"plan": "dense"}}
    large = explain(dense, batch=40_000, dim=8)
    assert "carried on" in large.notes[0]
    assert the_loss(large).anchors == 40_000
    assert large.flop == pytest.approx(3 * 2 * 40_000**2 * 8, rel=0.01)
    small = explain(dense, batch=1000, dim=8)
    assert large.peak == pytest.approx(small.peak * 1600, rel=0.05)  # but for strips, which do not grow
    assert not small.notes


def test_what_many_tuples_would_take_is_not_tried() -> None:
    with LargestTensor() as largest:
        found = explain({"loss": "triplet_margin", "miner": "triplet_margin"}, batch=30_000, dim=4)
    assert found.miners[0].counts[0] > 10**8
    assert largest.numel < 10**7


# -- what is refused --------------------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no embeddings": ("supcon", {"batch": 0}, "batch is a whole number, at least 1; got 0"),
    "fewer than none": ("supcon", {"batch": -3}, "batch is a whole number, at least 1; got -3"),
    "no whole number": ("supcon", {"batch": 2.5}, "batch is a whole number"),
    "no dimensions": ("supcon", {"dim": 0}, "dim is a whole number, at least 1; got 0"),
    "none of a class": ("supcon", {"per_class": 0}, "per_class is"),
    "no references": ("supcon", {"references": 0}, "references is"),
    "another device": ("supcon", {"device": "tpu"}, "device is one of cpu, cuda; got 'tpu'"),
    "another type": ("supcon", {"dtype": "int8"}, "dtype is one of float32"),
    "too many embeddings": ("supcon", {"batch": 10**12}, "the embeddings alone need"),
    "too many classes": ("arcface", {"classes": 10**11}, "the parameters and their gradients need"),
    "more classes than vectors": (
        {"loss": {"name": "arcface", "num_classes": 5, "embedding_size": 4}},
        {"classes": 6},
        "/loss is for 5 classes, and classes is 6; give at most 5",
    ),
    "another dimension": (
        {"loss": {"name": "arcface", "num_classes": 5, "embedding_size": 3}},
        {},
        "/loss has embedding_size 3, and dim is 4",
    ),
    "references where there are none": ("arcface", {"references": 4}, "takes no ref_embeddings"),
    "a misspelt loss": ("supconn", {}, "did you mean 'supcon'"),
    "a miner": ("batch_hard", {}, "'batch_hard' is a miner"),
    "no file": ("nothing.json", {}, "cannot read nothing.json"),
    "a wrong spec": ({"loss": "supconn"}, {}, "did you mean 'supcon'"),
    "no spec": (7, {}, "a spec is an object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    spec, changes, message = REFUSED[case]
    with pytest.raises((InputError, SpecError)) as error:
        explain(spec, **({"batch": 8, "dim": 4} | changes))
    assert message in str(error.value)


def test_an_experiment_file_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps({"pipeline": {"loss": "ntxent"}}))
    assert the_loss(explain(file, batch=8, dim=4)).name == "ntxent"
    assert the_loss(explain(str(file), batch=8, dim=4)).name == "ntxent"


def test_a_loss_that_is_no_sum_of_anything_is_explained() -> None:
    class Constant(Loss):
        def terms(self, batch: Batch) -> dict[str, Term]:
            return {"zero": Term(torch.zeros(len(batch)))}

    pipeline = metricreg.Pipeline(Constant(), execution=Execution("tiled", tile=2))
    (term,) = the_loss(explain(pipeline, batch=8, dim=4)).terms
    assert term.gradient == "none"


def test_half_of_a_symmetric_comparison_is_said_to_be_evaluated() -> None:
    loss = the_loss(found := explain(tiled("contrastive", 32), batch=512, dim=4))
    assert loss.symmetric
    assert 512 // 64 < loss.tiles < 512 // 32
    assert f"tiled, {loss.tiles} tiles of 32 to 64, on and above the diagonal: 512 anchors" in str(found)
    assert not the_loss(explain(tiled("supcon", 32), batch=512, dim=4)).symmetric
    assert not the_loss(explain("contrastive", batch=32, dim=4)).symmetric


def test_what_is_made_of_all_anchors_first_is_said() -> None:
    loss = the_loss(found := explain(tiled("ntxent", 32), batch=512, dim=4))
    ((what, tiles),) = loss.before
    assert what == "sums over negatives, on and above the diagonal"
    assert 512 // 64 < tiles < 512 // 32
    assert f"first   {what}, in {tiles} tiles" in str(found)
    proxies = explain("arcface", batch=16, dim=4, classes=100_000)
    assert the_loss(proxies).before == (("sums over blocks of classes", 2),)
    assert the_loss(explain("ntxent", batch=32, dim=4)).before == ()


def test_a_loss_of_sweeps_is_looked_at_as_large_as_it_is() -> None:
    found = explain("histogram", batch=20_000, dim=8)
    assert the_loss(found).plan == "tiled"
    assert not found.notes
    assert found.peak < 2**27
    assert found.flop == pytest.approx(4 * 20_000**2 * 8, rel=0.05)  # half of a product forward, and of three backward
