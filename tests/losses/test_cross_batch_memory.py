"""CrossBatchMemoryLoss against a list of rows, and what it is made of."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg import Batch, Execution, InputError, Loss, LossSlots, Registry, SpecError, Term
from metricreg import losses as L
from metricreg import miners as M
from metricreg import reducers as R
from metricreg.components.loss import Terms
from metricreg.registry.entry_points import load_entry_points
from tests.checks import record
from tests.oracle import (
    DIM,
    DISTANCES,
    FEW_PLANS,
    PAIR_LOSSES,
    PROXY_LOSSES,
    REDUCERS,
    assert_close,
    reduced,
    rows,
    value_and_gradients,
)
from tests.reference.cross_batch_memory import Memory
from tests.reference.pair_losses import contrastive, ntxent, triplet_margin
from tests.reference.reducers import Anchors

plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
LABELS = [0, 1, 2, 0, 1, 0]
FORMULAS: dict[str, tuple[Callable[[], Loss], Any, str, str]] = {
    "contrastive": (L.ContrastiveLoss, contrastive, "lp", "avg_non_zero"),
    "ntxent": (L.NTXentLoss, ntxent, "cosine", "mean"),
    "triplet_margin": (L.TripletMarginLoss, triplet_margin, "lp", "avg_non_zero"),
}


def remembering(loss: Loss | None = None, size: int = 16, **more: Any) -> L.CrossBatchMemoryLoss:
    return L.CrossBatchMemoryLoss(loss or L.NTXentLoss(), DIM, size, **more).double()


def labels_of(step: int, count: int = 6) -> Tensor:
    return torch.tensor([LABELS[(i + step) % 6] for i in range(count)])


@plans
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("size", [6, 7, 16, 100])
def test_it_is_the_loss_against_the_last_rows(name: str, size: int, plan: Execution) -> None:
    make, formula, measure, reducer = FORMULAS[name]
    loss, memory = remembering(make(), size), Memory(size)
    for step, count in enumerate([6, 3, 6, 1, 0, 5]):
        again = step if step != 2 else 0  # a batch that is in the memory already
        x, labels = rows(count, again), labels_of(again, count)
        places = memory.enter(x, labels.tolist())
        chosen = memory.chosen(labels.tolist(), places)
        terms = formula(DISTANCES[measure][1], x, memory.references(x), chosen)
        want = reduced(terms, REDUCERS[reducer][1], Anchors(count, labels.tolist()))
        got = loss(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), value_and_gradients(want, [x]), 1e-10, f"step {step}")
    assert torch.equal(loss.memory.embeddings[: len(memory.rows)], memory.references(rows(0)))
    assert loss.memory.labels[: len(memory.rows)].tolist() == memory.labels
    assert int(loss.memory.enqueued) == memory.next == 21
    record("loss", "cross_batch_memory", "loop")


@plans
@pytest.mark.parametrize("given", ["mask", "references", "mask as a list", "batch"])
def test_enqueued_rows_are_compared_with_and_not_trained_on(given: str, plan: Execution) -> None:
    loss, memory = remembering(size=7), Memory(7)
    mask = torch.tensor([True, False, False, True, False, True])
    for step in range(4):
        x, labels = rows(6, step), labels_of(step)
        memory.enter(x[mask], labels[mask].tolist())
        own, own_labels = x[~mask], labels[~mask]
        terms = ntxent(DISTANCES["cosine"][1], own, memory.references(x), memory.chosen(own_labels.tolist(), None))
        want = reduced(terms, REDUCERS["mean"][1], Anchors(3, own_labels.tolist()))
        if given == "references":
            got = loss(x[~mask], own_labels, ref_embeddings=x[mask], ref_labels=labels[mask], execution=plan)
        elif given == "batch":
            got = loss(Batch.of(x, labels), enqueue_mask=mask, execution=plan)
        else:
            got = loss(x, labels, enqueue_mask=mask.tolist() if "list" in given else mask, execution=plan)
        found = value_and_gradients(got, [x])
        assert_close(found, value_and_gradients(want, [x]), 1e-10, f"step {step}")
        assert (found[1][mask] == 0).all()


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_the_first_batch_costs_what_it_costs_without_a_memory_when_nothing_else_is_in_it(name: str) -> None:
    x, labels = rows(10), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    alone = PAIR_LOSSES[name]()
    copies, own = x.detach().clone().requires_grad_(), torch.arange(10)
    want = value_and_gradients(alone(Batch(x, copies, labels, labels, own)), [x])
    plain = alone(x, labels)
    for plan in FEW_PLANS.values():
        got = remembering(PAIR_LOSSES[name](), 10)(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), want, 1e-10)
        if name != "lifted_structure":  # whose positive pairs count from both sides only in a batch with itself
            torch.testing.assert_close(got, plain, rtol=1e-10, atol=0)


@plans
@pytest.mark.parametrize("miner", [M.MultiSimilarityMiner, M.BatchHardMiner, M.TripletMarginMiner])
def test_its_miner_looks_at_the_memory(miner: Any, plan: Execution) -> None:
    loss, inner, memory = remembering(size=9, miner=miner()), L.NTXentLoss(), Memory(9)
    for step in range(4):
        x, labels = rows(6, step), labels_of(step)
        places = torch.tensor(memory.enter(x, labels.tolist()))
        view = Batch(x, memory.references(x), labels, torch.tensor(memory.labels), places)
        found = miner().selection(view)
        want = inner(view.replace(selection=found, self_index=None))
        got = loss(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), value_and_gradients(want, [x]), 1e-12)


# -- state ------------------------------------------------------------------------------------------------------------


def test_the_memory_comes_back_from_a_checkpoint_a_copy_and_a_pickle() -> None:
    loss = remembering(size=8)
    for step in range(2):
        loss(rows(6, step), labels_of(step))
    file = io.BytesIO()
    torch.save({"spec": loss.to_spec(), "state_dict": loss.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    loaded = metricreg.create("loss", saved["spec"].pop("name"), **saved["spec"]).double()
    loaded(rows(6, 7), labels_of(0))
    loaded(rows(6, 8), labels_of(0))  # as often as the other: only the tensors tell them apart
    copied, pickled = copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))
    for other in (loaded, copied, pickled):
        other.load_state_dict(saved["state_dict"])
    x, labels = rows(6, 9), labels_of(1)
    want = loss(x, labels)
    for other in (loaded, copied, pickled):
        torch.testing.assert_close(other(x, labels), want, rtol=0, atol=0)
        for key, value in loss.state_dict().items():
            assert torch.equal(other.state_dict()[key], value), key
    assert set(loss.state_dict()) == {"memory.embeddings", "memory.labels", "memory.enqueued"}


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_copy_goes_on_by_itself_whatever_is_loaded_into_it(steps: int) -> None:
    loss, other = remembering(), remembering()
    for step in range(steps):
        loss(rows(6, step), labels_of(step))
    other(rows(5), labels_of(0, 5))
    for made in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert made.memory.count == 6 * steps
        made.load_state_dict(other.state_dict())
        assert made.memory.count == 5
        made.memory.enqueued.fill_(3)
        assert made.memory.count == 3
    assert loss.memory.count == 6 * steps


def test_a_memory_of_another_size_does_not_load() -> None:
    for wrong in (remembering(size=9), remembering(size=8, label_size=2), L.CrossBatchMemoryLoss(L.NTXentLoss(), 3, 8)):
        with pytest.raises(RuntimeError, match="size mismatch"):
            wrong.load_state_dict(remembering(size=8).state_dict())


def test_reset_empties_it() -> None:
    loss, fresh = remembering(warm_up=6), remembering(warm_up=6)
    for step in range(3):
        loss(rows(6, step), labels_of(step))
    loss.reset()
    assert all((value == 0).all() for value in loss.state_dict().values())
    for step in range(3):
        x, labels = rows(6, step), labels_of(step)
        torch.testing.assert_close(loss(x, labels), fresh(x, labels), rtol=0, atol=0)


def test_evaluation_mode_gives_the_value_and_leaves_the_memory_as_it_is() -> None:
    loss, twin = remembering(size=8), remembering(size=8)
    for step in range(3):
        x, labels = rows(6, step), labels_of(step)
        before = copy.deepcopy(loss.state_dict())
        value, terms = loss.eval()(x, labels), loss.all_terms(Batch.of(x, labels))
        assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())
        torch.testing.assert_close(value, twin(x, labels), rtol=0, atol=0)
        assert set(terms) == {"loss"}
        loss.train()(x, labels)


def test_a_step_without_gradient_enters_too() -> None:
    loss = remembering()
    with torch.no_grad():
        loss(rows(6), labels_of(0))
    with torch.inference_mode():
        loss(rows(4).detach().clone(), labels_of(0, 4))
    assert loss.memory.count == int(loss.memory.enqueued) == 10
    loss(rows(6), labels_of(0)).backward()


@plans
@pytest.mark.parametrize("name", ["contrastive", "ntxent"])
def test_steps_may_go_on_before_the_backward_passes_of_those_before(name: str, plan: Execution) -> None:
    loss, twin, steps = remembering(PAIR_LOSSES[name](), 8), remembering(PAIR_LOSSES[name](), 8), range(4)
    inputs = [rows(6, step) for step in steps]
    want = [value_and_gradients(twin(x, labels_of(step), execution=plan), [x]) for step, x in enumerate(inputs)]
    totals = [loss(x, labels_of(step), execution=plan) for step, x in enumerate(inputs)]
    loss.reset()
    for x, total, wanted in zip(inputs, totals, want, strict=True):
        assert_close(value_and_gradients(total, [x]), wanted, 1e-12)


def test_a_loss_that_refuses_the_batch_leaves_the_memory_as_it_was() -> None:
    loss = remembering(L.NTXentLoss(reducer=R.MultipleReducers({"pos": R.MeanReducer()})))
    with pytest.raises(InputError, match="which this loss lacks"):
        loss(rows(6), labels_of(0))
    assert loss.memory.count == 0


@plans
def test_until_the_warm_up_is_over_a_batch_is_compared_with_itself(plan: Execution) -> None:
    loss, after, alone = remembering(warm_up=12), remembering(), L.NTXentLoss()
    for step in range(4):
        x, labels = rows(6, step), labels_of(step)
        want = value_and_gradients(after(x, labels), [x])
        if step < 2:
            want = value_and_gradients(alone(x, labels), [x])
        assert_close(value_and_gradients(loss(x, labels, execution=plan), [x]), want, 1e-12)
    queries, keys, labels = rows(4, 1), rows(4, 2), labels_of(0, 4)
    got = remembering(warm_up=1)(queries, labels, ref_embeddings=keys, ref_labels=labels)
    want = value_and_gradients(alone(queries, labels, ref_embeddings=keys.detach(), ref_labels=labels), [queries, keys])
    assert_close(value_and_gradients(got, [queries, keys]), want, 1e-12)


# -- types and sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float64, torch.float32, torch.float16])
def test_the_memory_keeps_its_type(kept: torch.dtype, given: torch.dtype) -> None:
    loss = L.CrossBatchMemoryLoss(L.NTXentLoss(), DIM, 16).to(kept)
    for step in range(2):
        x = rows(6, step, given).detach().requires_grad_()
        value, gradient = value_and_gradients(loss(x, labels_of(step)), [x])
        assert value.isfinite()
        assert gradient.dtype is given
    assert loss.memory.embeddings.dtype is kept
    assert (loss.memory.labels.dtype, loss.memory.enqueued.dtype) == (torch.int64, torch.int64)


def test_large_labels_are_kept_as_they_are() -> None:
    labels, small = torch.tensor([-(2**40), 2**40, 2**40 + 1, -(2**40)]), torch.tensor([0, 1, 2, 0])
    loss, other = remembering(), remembering()
    for step in range(2):
        x = rows(4, step)
        torch.testing.assert_close(loss(x, labels), other(x, small.int()), rtol=0, atol=0)
    assert loss.memory.labels[:8].tolist() == labels.tolist() * 2


def test_it_keeps_sets_of_labels() -> None:
    loss = remembering(Sets(), label_size=2)
    labels = torch.tensor([[1, 2], [3, 1], [2, 4]])
    for step in range(2):
        x = rows(3, step)
        assert loss(Batch(x, x, labels, labels, torch.arange(3))) == 2 * (step + 1)
    assert loss.memory.labels.shape == (16, 2)
    assert loss.memory.labels[:6].tolist() == labels.tolist() * 2
    with pytest.raises(InputError, match=r"labels must be \[3, 2\]; got \[3\].*label_size"):
        loss(rows(3), [0, 1, 2])


class Sets(Loss):
    """How many pairs (a, j) begin with the same label, a and j in the same place of a batch."""

    def terms(self, batch: Batch) -> Terms:
        assert batch.anchor_labels is not None
        assert batch.reference_labels is not None
        same = batch.anchor_labels[:, None, 0] == batch.reference_labels[None, :, 0]
        values = torch.arange(len(batch))[:, None].eq(0) * same * 2.0 + batch.anchors.sum() * 0.0
        return {"loss": Term(values.sum(1), torch.arange(len(batch)) == 0)}


MASK = torch.tensor([True, False])
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"embeddings": rows(2)[:, :3]}, "has embedding_size 5; the embeddings have 3"),
    ({"embeddings": rows(5), "labels": [0] * 5}, "5 rows do not fit in a memory_size of 4"),
    ({"tuples": ([0], [1], [], [])}, "takes no tuples.*Give the miner to it"),
    ({"labels": None}, "needs labels"),
    ({"enqueue_mask": MASK, "tuples": ([0], [1], [], [])}, "enqueue_mask marks rows of a batch"),
    ({"enqueue_mask": MASK, "ref_embeddings": rows(2, 1), "ref_labels": [0, 1]}, "enqueue_mask marks rows of a batch"),
    ({"enqueue_mask": MASK.int()}, r"enqueue_mask must be \[2\] of torch.bool; got \[2\] of torch.int32"),
    ({"enqueue_mask": [True]}, r"enqueue_mask must be \[2\] of torch.bool; got \[1\]"),
    ({"enqueue_mask": ["yes", "no"]}, r"enqueue_mask must be \[2\] of torch.bool; got list: too many dimensions"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_does_not_fit_the_memory_is_refused(arguments: dict[str, Any], message: str) -> None:
    loss = remembering(size=4)
    with pytest.raises(InputError, match=message):
        loss(**{"embeddings": rows(2), "labels": [0, 1], **arguments})
    assert loss.memory.count == 0


def test_all_rows_or_none_may_enter() -> None:
    x, labels, loss = rows(4), labels_of(0, 4), remembering()
    nothing = loss(x, labels, enqueue_mask=[False] * 4)
    assert float(nothing.detach()) == 0.0
    assert loss.memory.count == 0
    everything = loss(x, labels, enqueue_mask=[True] * 4)
    assert [float(part.abs().max()) for part in value_and_gradients(everything, [x])] == [0.0, 0.0]
    assert loss.memory.count == 4


# -- composition ------------------------------------------------------------------------------------------------------


class OwnVectors(Loss):
    """A plugin's loss with vectors of its own, of which nobody here knows."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.vectors = torch.nn.Parameter(torch.ones(3, DIM, dtype=torch.float64))

    def prepare(self, batch: Batch) -> Batch:
        return batch.against(self.vectors, torch.arange(3))

    def terms(self, batch: Batch) -> Terms:
        return {"loss": Term(self.distance(batch.anchors, batch.references), batch.positives, kind="pos_pair")}


class NearestNegative(Loss):
    """A plugin's loss on the batch it is given."""

    def terms(self, batch: Batch) -> Terms:
        d = self.distance(batch.anchors, batch.references)
        return {"loss": Term((1.0 - d).relu(), batch.negatives, kind="neg_pair")}


@pytest.mark.parametrize("name", PROXY_LOSSES)
def test_a_loss_with_class_vectors_is_refused(name: str) -> None:
    for inner in (PROXY_LOSSES[name](), L.MultipleLosses([L.NTXentLoss(), PROXY_LOSSES[name]()])):
        with pytest.raises(SpecError, match="has rows of its own, and cannot be compared with a memory"):
            L.CrossBatchMemoryLoss(inner, DIM)


def test_so_is_what_makes_no_sense_inside_a_memory() -> None:
    with pytest.raises(SpecError, match="CrossBatchMemoryLoss has rows of its own"):
        L.CrossBatchMemoryLoss(L.CrossBatchMemoryLoss(L.NTXentLoss(), DIM), DIM)
    with pytest.raises(SpecError, match="SelfSupervisedLoss makes its own labels"):
        L.CrossBatchMemoryLoss(L.SelfSupervisedLoss(L.NTXentLoss()), DIM)
    for inner in (L.VICRegLoss(), L.MultipleLosses([L.BarlowTwinsLoss()])):
        with pytest.raises(SpecError, match="compares two views row by row, and cannot be compared with a memory"):
            L.CrossBatchMemoryLoss(inner, DIM)
    with pytest.raises(SpecError, match="ManifoldLoss has rows of its own"):
        L.CrossBatchMemoryLoss(L.ManifoldLoss(DIM, 4), DIM)
    (problem,) = metricreg.validate(
        {
            "loss": {
                "name": "cross_batch_memory",
                "embedding_size": 3,
                "loss": {"name": "p2s_grad", "embedding_size": 3, "num_classes": 2},
            }
        }
    )
    assert problem.pointer == "/loss"
    assert "P2SGradLoss" in problem.message


def test_a_plugins_loss_works_and_one_with_its_own_vectors_says_so() -> None:
    registry = Registry(loader=load_entry_points)
    for cls in (OwnVectors, NearestNegative):
        metricreg.register(cls, registry=registry)
    spec = {"name": "cross_batch_memory", "embedding_size": DIM, "memory_size": 9, "loss": "local/nearest_negative"}
    pipeline = metricreg.build({"version": 1, "loss": spec}, registry=registry).double()
    assert pipeline.to_spec(registry=registry) == {"version": 1, "loss": spec}
    memory, distance = Memory(9), DISTANCES["lp"][0]()
    for step in range(3):
        x, labels = rows(6, step), labels_of(step)
        memory.enter(x, labels.tolist())
        d, other = distance(x, memory.references(x)), labels[:, None] != torch.tensor(memory.labels)
        torch.testing.assert_close(pipeline(x, labels), (1.0 - d).relu()[other].mean())
    own = metricreg.build({"loss": {**spec, "loss": "local/own_vectors"}}, registry=registry)
    with pytest.raises(InputError, match="compares embeddings with rows of its own and takes no ref_embeddings"):
        own(rows(6), labels_of(0))


@plans
def test_two_views_of_which_one_enters_are_moco(plan: Execution) -> None:
    memory = {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": DIM, "memory_size": 12}
    spec = {"version": 1, "loss": {"name": "self_supervised", "symmetric": False, "loss": memory}}
    pipeline = metricreg.build(spec).double()
    assert pipeline.to_spec() == spec
    queue = torch.zeros(0, DIM, dtype=torch.float64)
    for step in range(4):
        q, k = rows(5, step), rows(5, step + 10)
        before = copy.deepcopy(pipeline.state_dict())
        queue = torch.cat([queue, k.detach()])[-12:]
        near = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(queue).mT
        want = (near / 0.07).logsumexp(1).mean() - torch.cosine_similarity(q, k.detach()).mean() / 0.07
        value = pipeline.eval()(q, ref_embeddings=k)
        assert all(torch.equal(value, before[key]) for key, value in pipeline.state_dict().items())
        got = pipeline.train().loss(q, ref_embeddings=k, execution=plan)
        torch.testing.assert_close(got, value)
        assert_close(value_and_gradients(got, [q, k]), value_and_gradients(want, [q, k]), 1e-10, f"step {step}")
    assert int(pipeline.loss.seen) == 20  # type: ignore[arg-type]


def test_a_pipeline_with_a_miner_says_where_it_belongs() -> None:
    pipeline = metricreg.build(
        {"loss": {"name": "cross_batch_memory", "loss": "ntxent", "embedding_size": DIM}, "miner": "batch_hard"}
    )
    with pytest.raises(InputError, match="Give the miner to it, as its 'miner'"):
        pipeline(rows(6), labels_of(0))


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0", "ignore:The .grad attribute of a Tensor")
def test_it_compiles_with_a_break_at_the_memory() -> None:
    torch._dynamo.reset()
    loss, twin = remembering(size=12), remembering(size=12)
    compiled = torch.compile(lambda x, labels: loss(x, labels), backend="aot_eager")
    for step in range(4):
        x, labels = rows(6, step), labels_of(step)
        want = value_and_gradients(twin(x, labels), [x])
        assert_close(value_and_gradients(compiled(x, labels), [x]), want, 1e-12)


def test_a_memory_made_in_inference_mode_counts_its_rows() -> None:
    want = remembering()
    with torch.inference_mode():
        loss = remembering()  # whose buffers have no versions
        for step in range(4):
            x = rows(6, step)
            torch.testing.assert_close(loss(x, labels_of(step)), want(x, labels_of(step)), rtol=0, atol=0)
    assert loss.memory.count == 24


class Prototypes(Loss):
    """As a plugin's: with class vectors, and of none of the classes here."""

    compared_with = "own rows"

    def terms(self, batch: Batch) -> Any:
        return {}


def test_what_a_plugins_loss_says_of_its_rows_counts() -> None:
    for wrap in (lambda loss: L.CrossBatchMemoryLoss(loss, 5), L.SelfSupervisedLoss):
        with pytest.raises(SpecError, match=r"Prototypes has (rows|class vectors) of its own"):
            wrap(Prototypes())
        with pytest.raises(SpecError, match="Prototypes has"):
            wrap(L.MultipleLosses([L.ContrastiveLoss(), Prototypes()]))
