"""Calls as of another library are answered with what is meant here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metricreg
from metricreg import Loss, RegistrationError, Registry, default_registry
from metricreg.losses import ContrastiveLoss
from metricreg.reducers import MeanReducer

X, LABELS = torch.randn(8, 4), torch.arange(8) % 2


@pytest.mark.parametrize("objective", [ContrastiveLoss(), metricreg.build({"loss": "contrastive"})])
def test_habits_of_another_library_are_answered(objective: Any) -> None:
    found = metricreg.create("miner", "multi_similarity")(X, LABELS)
    with pytest.raises(TypeError, match="tuples="):
        objective(X, LABELS, found)
    for theirs, ours in {"indices_tuple": "tuples", "ref_emb": "ref_embeddings"}.items():
        with pytest.raises(TypeError, match=f"'{theirs}' is called '{ours}' here"):
            objective(X, LABELS, **{theirs: found})
    objective(X, LABELS, tuples=found)


def test_terms_are_asked_for_like_a_value() -> None:
    objective = metricreg.build({"loss": "contrastive"})
    found = metricreg.create("miner", "multi_similarity")(X, LABELS)
    with pytest.raises(TypeError, match="tuples="):
        objective.terms(X, LABELS, found)
    with pytest.raises(TypeError, match="'indices_tuple' is called 'tuples' here"):
        objective.terms(X, LABELS, indices_tuple=found)
    with pytest.raises(TypeError, match=r"enqueue_mask.*objective\.loss"):
        objective(X, LABELS, enqueue_mask=LABELS > 0)
    assert list(objective.terms(X, LABELS, tuples=found)) == ["pos_loss", "neg_loss"]


@pytest.mark.parametrize("name", default_registry().names("miner"))
def test_habits_at_every_miner_are_answered(name: str) -> None:
    miner = metricreg.create("miner", name)
    for theirs, ours in {"emb": "embeddings", "ref_emb": "ref_embeddings"}.items():
        with pytest.raises(TypeError, match=f"'{theirs}' is called '{ours}' here"):
            miner(labels=LABELS, **{theirs: X})
    with pytest.raises(TypeError, match="a miner takes"):
        miner(X, LABELS, X, LABELS, X)


@pytest.mark.parametrize("name", default_registry().names("distance"))
def test_habits_at_every_distance_are_answered(name: str) -> None:
    distance = metricreg.create("distance", name, **({"embedding_size": 4} if name == "mahalanobis" else {}))
    for theirs, ours in {"query_emb": "x", "ref_emb": "y"}.items():
        with pytest.raises(TypeError, match=f"'{theirs}' is called '{ours}' here"):
            distance(**{theirs: X})
    for called in (distance, metricreg.build({"loss": "contrastive"}), metricreg.create("miner", "hdc")):
        with pytest.raises(TypeError, match="'mat' is not taken"):
            called(X, LABELS, mat=X @ X.T)


@pytest.mark.parametrize("name", default_registry().names("reducer"))
def test_every_reducer_says_what_it_reduces(name: str) -> None:
    needed: dict[str, Any] = {
        "class_weighted": {"weights": [1.0, 2.0]},
        "multiple": {"reducers": {"pos_loss": MeanReducer()}},
        "threshold": {"low": 0.0},
    }
    reducer = metricreg.create("reducer", name, **needed.get(name, {}))
    for given in (({"loss": {"losses": X}}, None, X, LABELS), (X,), ({"loss": X},), ()):
        with pytest.raises(TypeError, match="reduces one Term, such as those of objective"):
            reducer(*given)


@pytest.mark.parametrize("name", ["self_supervised", "vicreg", "barlow_twins"])
def test_a_second_view_in_the_place_of_labels_is_answered(name: str) -> None:
    loss = metricreg.create("loss", name, **({"loss": "ntxent"} if name == "self_supervised" else {}))
    with pytest.raises(metricreg.InputError, match=r"another view of each sample, .* ref_embeddings="):
        loss(X, X.clone())
    with pytest.raises(TypeError, match="'ref_emb' is called 'ref_embeddings' here"):
        loss(X, ref_emb=X)


@pytest.mark.parametrize(("cls", "theirs", "ours"), [
    (metricreg.losses.P2SGradLoss, "descriptors_dim", "embedding_size"),
    (metricreg.reducers.MultipleReducers, "default_reducer", "default"),
    (metricreg.losses.NTXentLoss, "tau", "temperature"),
    (metricreg.losses.ArcFaceLoss, "s", "scale"),
])  # fmt: skip
def test_what_parameters_are_called_elsewhere_is_known(cls: Any, theirs: str, ours: str) -> None:
    for args in ((), (3,)):  # by position too
        with pytest.raises(TypeError, match=f"unexpected argument '{theirs}'; it is called '{ours}' here"):
            cls(*args, **{theirs: 3})


def test_a_loss_made_of_losses_has_no_slots_of_its_own() -> None:
    class Wrapping(Loss):
        def __init__(self, loss: Loss, reducer: metricreg.Reducer | None = None) -> None:
            super().__init__(reducer=reducer)
            self.loss = loss

        def terms(self, batch: Any) -> Any:
            return {}

        def evaluate(self, batch: Any, execution: Any) -> Any:
            return self.loss(batch, execution=execution)

    with pytest.raises(RegistrationError, match=r"leave 'reducer' out .*WrapperLoss"):
        metricreg.register(Wrapping, registry=Registry())
