"""SelfSupervisedLoss: two views as one batch, or as anchors and references."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import Batch, Execution, InputError, Loss, Registry, SpecError, Term
from metricreg import losses as L
from metricreg import miners as M
from metricreg.components.loss import Terms
from metricreg.registry.entry_points import load_entry_points
from tests.checks import record
from tests.oracle import (
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
from tests.reference.pair_losses import ntxent
from tests.reference.reducers import Anchors
from tests.reference.selection import Chosen, chosen_of

plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())


@plans
def test_it_is_simclr_in_one_batch_and_infonce_between_two(plan: Execution) -> None:
    x, y, mean = rows(5, 1), rows(5, 2), REDUCERS["mean"][1]
    both = torch.cat([x, y])
    terms = ntxent(DISTANCES["cosine"][1], both, both, chosen_of([0, 1, 2, 3, 4] * 2))
    want = value_and_gradients(reduced(terms, mean, Anchors(10, [0, 1, 2, 3, 4] * 2)), [x, y])
    got = L.SelfSupervisedLoss(L.NTXentLoss())(x, ref_embeddings=y, execution=plan)
    assert_close(value_and_gradients(got, [x, y]), want, 1e-10)

    chosen = Chosen([[i] for i in range(5)], [[j for j in range(5) if j != i] for i in range(5)], [])
    terms = ntxent(DISTANCES["cosine"][1], x, y, chosen)
    want = value_and_gradients(reduced(terms, mean, Anchors(5, [0, 1, 2, 3, 4])), [x, y])
    got = L.SelfSupervisedLoss(L.NTXentLoss(), symmetric=False)(x, ref_embeddings=y, execution=plan)
    assert_close(value_and_gradients(got, [x, y]), want, 1e-10)
    record("loss", "self_supervised", "loop")


@plans
@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_it_is_the_loss_with_a_label_a_sample(name: str, plan: Execution) -> None:
    x, y, labels, inner = rows(5, 1), rows(5, 2), torch.arange(5), PAIR_LOSSES[name]()
    want = value_and_gradients(inner(torch.cat([x, y]), labels.repeat(2)), [x, y])
    loss = L.SelfSupervisedLoss(PAIR_LOSSES[name]())
    for _ in range(2):  # however many labels were given before
        assert_close(value_and_gradients(loss(x, ref_embeddings=y, execution=plan), [x, y]), want, 1e-12)
    want = value_and_gradients(inner(x, labels, ref_embeddings=y, ref_labels=labels), [x, y])
    loss = L.SelfSupervisedLoss(PAIR_LOSSES[name](), symmetric=False)
    assert_close(value_and_gradients(loss(x, ref_embeddings=y, execution=plan), [x, y]), want, 1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_no_samples_cost_nothing(symmetric: bool) -> None:
    x, y = rows(0, 1), rows(0, 2)
    total = L.SelfSupervisedLoss(L.NTXentLoss(), symmetric)(x, ref_embeddings=y)
    assert float(total.detach()) == 0.0
    total.backward()


X, Y = rows(3, 1), rows(3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs ref_embeddings.*got none"),
        ({"ref_embeddings": X}, "needs ref_embeddings.*got none"),
        ({"ref_embeddings": rows(2)}, "another view of each row.*got 2 rows for 3"),
        ({"ref_embeddings": Y, "labels": [0, 1, 2], "ref_labels": [0, 1, 2]}, "makes its own labels.*Leave labels"),
        ({"ref_embeddings": Y, "tuples": ([0], [0], [1])}, "makes its own labels"),
    ],
)
def test_what_is_no_pair_of_views_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        L.SelfSupervisedLoss(L.NTXentLoss())(X, **arguments)


@pytest.mark.parametrize("name", PROXY_LOSSES)
def test_a_loss_with_class_vectors_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="has class vectors of its own, and here each sample is its own class"):
        L.SelfSupervisedLoss(L.MultipleLosses([PROXY_LOSSES[name]()]))


def test_it_is_not_put_into_itself() -> None:
    with pytest.raises(SpecError, match="SelfSupervisedLoss has labels of its own"):
        L.SelfSupervisedLoss(L.SelfSupervisedLoss(L.NTXentLoss()))


def test_so_is_what_does_not_compare_all_rows_of_both_views() -> None:
    with pytest.raises(SpecError, match="ManifoldLoss has class vectors of its own"):
        L.SelfSupervisedLoss(L.ManifoldLoss(3, 4))
    for loss in (L.VICRegLoss(), L.BarlowTwinsLoss()):
        with pytest.raises(SpecError, match=r"row by row.*give symmetric=False"):
            L.SelfSupervisedLoss(L.MultipleLosses([loss]))
        one_sided = L.SelfSupervisedLoss(loss, symmetric=False)
        torch.testing.assert_close(one_sided(X, ref_embeddings=Y), loss(X, ref_embeddings=Y))


# -- composition ------------------------------------------------------------------------------------------------------


class Alignment(Loss):
    """A plugin's loss: how far apart the positives are."""

    def terms(self, batch: Batch) -> Terms:
        return {"loss": Term(self.distance(batch.anchors, batch.references), batch.positives, kind="pos_pair")}


def test_a_plugins_loss_works_from_a_spec() -> None:
    registry = Registry(loader=load_entry_points)
    metricreg.register(Alignment, registry=registry)
    spec = {"version": 1, "loss": {"name": "self_supervised", "loss": "local/alignment", "symmetric": False}}
    pipeline = metricreg.build(spec, registry=registry)
    assert pipeline.to_spec(registry=registry) == spec
    x, y = rows(4, 1), rows(4, 2)
    want = (torch.nn.functional.normalize(x) - torch.nn.functional.normalize(y)).norm(dim=1).mean()
    torch.testing.assert_close(pipeline(x, ref_embeddings=y), want)
    assert set(pipeline.terms(x, ref_embeddings=y)) == {"loss"}


@plans
def test_it_works_in_a_sum_and_a_sum_with_miners_in_it(plan: Execution) -> None:
    x, y, labels = rows(5, 1), rows(5, 2), torch.arange(5).repeat(2)
    inner = {"name": "multiple", "losses": ["ntxent", "contrastive"], "miners": [None, "batch_hard"]}
    outer = {"name": "multiple", "losses": [{"name": "self_supervised", "loss": inner}], "weights": [0.5]}
    both = torch.cat([x, y])
    tuples = M.BatchHardMiner()(both, labels)
    want = 0.5 * (L.NTXentLoss()(both, labels) + L.ContrastiveLoss()(both, labels, tuples=tuples))
    got = metricreg.build({"loss": outer}).loss(x, ref_embeddings=y, execution=plan)
    assert_close(value_and_gradients(got, [x, y]), value_and_gradients(want, [x, y]), 1e-12)


def test_labels_go_on_from_a_checkpoint() -> None:
    loss, other = L.SelfSupervisedLoss(L.NTXentLoss()), L.SelfSupervisedLoss(L.NTXentLoss())
    loss(rows(3, 1), ref_embeddings=rows(3, 2))
    other.load_state_dict(loss.state_dict())
    assert other.state_dict() == {"seen": torch.tensor(3)}
    seen: list[list[int]] = []
    other.loss.terms = lambda batch: seen.append(batch.anchor_labels.tolist()) or {}  # type: ignore
    other(rows(3, 1), ref_embeddings=rows(3, 2))
    other.eval()(rows(2, 1), ref_embeddings=rows(2, 2))
    assert seen == [[3, 4, 5] * 2, [6, 7] * 2]
