"""The losses against pytorch-metric-learning in float32, value and gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pl
from torch import Tensor

from metricreg import Execution, Loss, SpecError
from metricreg import losses as L
from tests import oracle
from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

pytestmark = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # torch, of PML's histogram

SIZE = 8
rows = partial(oracle.rows, dtype=torch.float32, size=SIZE)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 2, 4, 0, 1, 2])
REF_LABELS = torch.tensor([1, 0, 3, 2, 2, 0, 1, 4, 4, 0])
TILED = Execution("tiled", tile=5)


DISTANCES: dict[str, dict[str, Any]] = {
    "lp": {"name": "lp"},
    "lp p=1": {"name": "lp", "p": 1},
    "lp squared": {"name": "lp", "power": 2},
    "lp raw": {"name": "lp", "normalize": False},
    "cosine": {"name": "cosine"},
    "dot raw": {"name": "dot_product", "normalize": False},
    "snr": {"name": "snr"},
}
REDUCERS: dict[str, dict[str, Any]] = {
    "mean": {"name": "mean"},
    "sum": {"name": "sum"},
    "avg_non_zero": {"name": "avg_non_zero"},
    "threshold": {"name": "threshold", "low": 0.2, "high": 0.7},
    "class_weighted": {"name": "class_weighted", "weights": [0.5, 2.0, 1.0, 0.25, 3.0]},
    "per_anchor": {"name": "per_anchor"},
}
LOSSES: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "triplet_margin": {},
    "triplet_margin smooth": {"smooth": True, "margin": 0.3},
    "triplet_margin swap": {"swap": True, "margin": 0.3},
    "ntxent": {"temperature": 0.5},
    "supcon": {"temperature": 0.5},
    "multi_similarity": {"beta": 10.0},
    "circle": {},
    "lifted_structure": {},
    "generalized_lifted_structure": {},
    "tuplet_margin": {"scale": 8.0},
    "intra_pair_variance": {},
    "snr_contrastive": {"neg_margin": 2.0},
    "fast_ap": {},
    "margin": {},
    "histogram": {"n_bins": 100},
    "threshold_consistent_margin": {},
    "margin with a learned boundary a class": {"beta": 0.8, "nu": 0.3, "learn_beta": True, "num_classes": 5},
    "margin with a learned boundary": {"nu": 2.0, "learn_beta": True},
    "npairs": {},
    "nca": {"softmax_scale": 3.0},
}
"""Parameters of losses; the first word is the name."""
MINERS = ("multi_similarity", "triplet_margin", "batch_hard")


def spec_of(name: str, **more: Any) -> dict[str, Any]:
    """What stands for a loss in a spec."""
    return {"name": name.split()[0], **LOSSES[name], **more}


def agree(spec: dict[str, Any], miner: str | None = None, ref: bool = False, tuples: Any = None) -> None:
    """A spec means the same in both libraries."""
    compare(built("loss", spec), in_pml("loss", spec), miner, ref, tuples)


def compare(ours: Loss, theirs: Any, miner: str | None = None, ref: bool = False, tuples: Any = None) -> None:
    x, y = rows(len(LABELS), 0), rows(len(REF_LABELS), 1)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for mine, other in pairs:
        other.data = mine.detach().clone() if mine.shape == other.shape else mine.detach().T.clone()
    other_ref = (y, REF_LABELS) if ref else (None, None)
    ours_mined = built("miner", {"name": miner})(x, LABELS, *other_ref) if miner else tuples
    mined = in_pml("miner", miner)(x, LABELS, *other_ref) if miner else tuples
    want = value_and_gradients(
        theirs(x, LABELS, mined, *other_ref), [x, *([y] if ref else []), *(other for _, other in pairs)]
    )
    if isinstance(ours, L.NPairsLoss):  # which takes of each class what is listed first, and miners list as they like
        ours_mined = mined
    for execution in (Execution("dense"), TILED):
        keywords = {"ref_embeddings": y, "ref_labels": REF_LABELS} if ref else {}
        total = ours(x, LABELS, tuples=ours_mined, execution=execution, **keywords)
        got = value_and_gradients(total, [x, *([y] if ref else []), *(mine for mine, _ in pairs)])
        got = [g if g.shape == w.shape else g.T for g, w in zip(got, want, strict=True)]
        assert_close(got, want, 1e-5, execution.plan)


def takes(loss: str, distance: str) -> bool:
    try:
        built("loss", spec_of(loss, distance=DISTANCES[distance]))
    except SpecError:
        return False
    return True


# what PML gets wrong, or cannot do, has its own tests in test_differences.py
NO_REFERENCES = {
    "triplet_margin swap",
    "npairs",
    "lifted_structure",
    "fast_ap",
    "histogram",
    "threshold_consistent_margin",
}
NO_TUPLES = {"lifted_structure", "histogram"}
ONLY_COSINE = {"threshold_consistent_margin"}
WITH_DISTANCES = [
    (name, d)
    for name in LOSSES
    for d in DISTANCES
    if "swap" not in name and takes(name, d) and not (name in ONLY_COSINE and d != "cosine")
]
REFERENCED = [(name, ref) for name in LOSSES for ref in (False, True) if not (ref and name in NO_REFERENCES)]


@pytest.mark.parametrize(
    ("loss", "ref", "distance", "miner"),
    [
        (loss, ref, d, m)
        for loss, d in WITH_DISTANCES
        for ref in (False, True)
        for m in (None, *MINERS)
        if (loss, ref) in REFERENCED and (m in (None, "multi_similarity") or d in ("lp", "cosine"))
    ],
)
def test_agrees_for_every_distance_and_miner(loss: str, distance: str, miner: str | None, ref: bool) -> None:
    agree(spec_of(loss, distance=DISTANCES[distance]), miner, ref)


@pytest.mark.parametrize("miner", [None, *MINERS])
@pytest.mark.parametrize("distance", DISTANCES)
def test_swapped_triplets_agree(distance: str, miner: str | None) -> None:
    agree(spec_of("triplet_margin swap", distance=DISTANCES[distance]), miner)


NO_CLASS_WEIGHTS = ("multi_similarity", "circle", "lifted_structure", "generalized_lifted_structure", "tuplet_margin")
NO_PER_ANCHOR = (
    "nca",
    "fast_ap",
    "lifted_structure",
    "tuplet_margin",
    *(loss for loss in LOSSES if "triplet" in loss or "margin" in loss),
)
PML_LACKS = {
    *((loss, "class_weighted") for loss in NO_CLASS_WEIGHTS),
    *((loss, "per_anchor") for loss in NO_PER_ANCHOR),
}


@pytest.mark.parametrize(
    ("loss", "reducer", "miner"),
    [
        (loss, reducer, miner)
        for loss in LOSSES
        for reducer in REDUCERS
        for miner in (None, "multi_similarity", "triplet_margin")
        if (loss, reducer) not in PML_LACKS and (reducer, miner) != ("per_anchor", "triplet_margin")
    ],
)
def test_agrees_for_every_reducer(loss: str, reducer: str, miner: str | None) -> None:
    agree(spec_of(loss, reducer=REDUCERS[reducer]), miner)


@pytest.mark.parametrize(("loss", "ref"), [case for case in REFERENCED if case[0] not in NO_TUPLES])
def test_agrees_on_listed_tuples_with_repetitions(loss: str, ref: bool) -> None:
    triplets = [torch.tensor(t) for t in ([0, 4, 0, 1, 0, 3], [4, 8, 8, 5, 4, 7], [1, 2, 1, 0, 1, 2])]
    pairs = [torch.tensor(t) for t in ([0, 4, 0, 1, 0], [4, 8, 4, 5, 4], [3, 0, 0, 1, 0, 1], [2, 1, 1, 6, 1, 6])]
    for tuples in (triplets, pairs):
        agree(spec_of(loss), None, ref, tuple(tuples))


@pytest.mark.parametrize("name", ["contrastive", "supcon"])
def test_an_embedding_regularizer_agrees(name: str) -> None:
    agree(spec_of(name, embedding_regularizer="lp", embedding_reg_weight=0.3))


RAW = {"normalize": False}
PROXY_LOSSES: list[dict[str, Any]] = [
    {"name": "arcface"},
    {"name": "arcface", "margin": 100.0, "scale": 8.0, "weight_regularizer": "regular_face"},
    {"name": "cosface"},
    {"name": "cosface", "num_classes": 6, "margin": 0.1, "scale": 4.0},
    {"name": "large_margin_softmax"},
    {"name": "large_margin_softmax", "num_classes": 6, "margin": 3, "scale": 0.5},
    {"name": "normalized_softmax"},
    {"name": "normalized_softmax", "num_classes": 6, "temperature": 0.7, "distance": {"name": "dot_product", **RAW}},
    {"name": "normalized_softmax", "num_classes": 6, "temperature": 0.7, "distance": {"name": "lp", **RAW}},
    {"name": "proxy_anchor"},
    {"name": "proxy_anchor", "num_classes": 6, "alpha": 4.0, "distance": "lp", "reducer": "mean"},
    {"name": "proxy_nca"},
    {"name": "proxy_nca", "num_classes": 6, "softmax_scale": 3.0, "distance": "cosine"},
    {"name": "soft_triple"},
    {"name": "soft_triple", "num_classes": 6, "centers_per_class": 3, "la": 5.0, "gamma": 0.5, "margin": 0.2},
    {"name": "sphereface"},
    {"name": "sphereface", "num_classes": 6, "margin": 3, "scale": 0.5},
    {"name": "subcenter_arcface"},
    {"name": "subcenter_arcface", "num_classes": 6, "margin": 100.0, "scale": 8.0, "sub_centers": 2},
]


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # scipy, of PML's large margins
@pytest.mark.parametrize(
    ("spec", "miner"),
    [
        (spec, miner)
        for spec in PROXY_LOSSES
        for miner in (None, *MINERS)
        if miner is None or spec["name"] != "proxy_nca"  # see test_differences.py
    ],
    ids=lambda part: ", ".join(f"{k}={v}" for k, v in part.items()) if isinstance(part, dict) else str(part),
)
def test_losses_with_proxies_agree(spec: dict[str, Any], miner: str | None) -> None:
    torch.manual_seed(7)
    agree({"num_classes": 5, "embedding_size": SIZE} | spec, miner)


def test_p2s_grad_agrees() -> None:
    torch.manual_seed(7)
    ours, theirs, x = L.P2SGradLoss(SIZE, 5), pl.P2SGradLoss(SIZE, 5), rows(len(LABELS), 0)
    theirs.weight.data = ours.proxies.detach().T.clone()
    value, of_x, of_w = value_and_gradients(theirs(x, LABELS), [x, theirs.weight])
    along = (of_w.T * ours.proxies.detach()).sum(1, keepdim=True) * ours.proxies.detach()
    want = [value, of_x, of_w.T - along]  # PML's has a part along the weights, which it then scales away
    for execution in (Execution("dense"), TILED):
        got = value_and_gradients(ours(x, LABELS, execution=execution), [x, ours.proxies])
        assert_close(got, want, 1e-5, execution.plan)


@pytest.mark.parametrize("gamma", [64.0, 2.0])
def test_instance_agrees_where_each_row_is_a_class(gamma: float) -> None:
    x = rows(12, 0)
    want = value_and_gradients(pl.InstanceLoss(gamma=gamma)(x, torch.arange(12)), [x])
    for execution in (Execution("dense"), TILED):
        got = value_and_gradients(L.InstanceLoss(gamma=gamma)(x, torch.arange(12), execution=execution), [x])
        assert_close(got, want, 1e-5 if gamma < 10 else 1e-3, execution.plan)  # PML's are differences of large ones


def test_outliers_agree() -> None:
    torch.manual_seed(7)
    ours, theirs = L.SubCenterArcFaceLoss(5, SIZE), pl.SubCenterArcFaceLoss(num_classes=5, embedding_size=SIZE)
    theirs.W.data = ours.proxies.detach().T.clone()
    x = rows(len(LABELS), 0).detach()
    for threshold in (40, 75, 100):
        outliers, dominant = theirs.get_outliers(x, LABELS, threshold)
        assert ours.outliers(x, LABELS, threshold).tolist() == sorted(outliers.tolist())
        torch.testing.assert_close(ours.proxies[ours.dominant_centers(x, LABELS)], dominant.T)


def test_ranked_list_agrees_where_weights_are_large() -> None:
    # next to which what PML adds to their sum is nothing; see test_differences.py
    keywords = {"margin": 0.4, "Tn": 40.0, "Tp": 40.0, "imbalance": 0.3, "alpha": 1.6}
    with pytest.warns(UserWarning, match="temperature"):
        theirs = pl.RankedListLoss(**keywords)
    compare(L.RankedListLoss(**keywords), theirs)


@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("reducer", ["mean", "sum", "avg_non_zero", "threshold"])
@pytest.mark.parametrize("alpha", [40.0, 15.0])
def test_angular_agrees_on_unit_embeddings(alpha: float, reducer: str, ref: bool) -> None:
    agree({"name": "angular", "alpha": alpha, "reducer": REDUCERS[reducer]}, None, ref)


CONTIGUOUS = torch.arange(4).repeat_interleave(4)  # as many classes as rows of each, which is where PML groups rightly


@pytest.mark.parametrize("miner", [None, "multi_similarity", "triplet_margin"])
@pytest.mark.parametrize("reducer", ["mean", "sum", "avg_non_zero", "threshold"])
@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_smooth_ap_agrees_where_there_are_as_many_classes_as_rows_of_each(
    temperature: float, reducer: str, miner: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LABELS", CONTIGUOUS)
    agree({"name": "smooth_ap", "temperature": temperature, "reducer": REDUCERS[reducer]}, miner)


@pytest.mark.parametrize("variant", ["O", "Ds", "Dq", "Iu", "Ib"])
@pytest.mark.parametrize("labels", [LABELS, CONTIGUOUS])
def test_pnp_agrees(variant: Any, labels: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LABELS", labels)
    for keywords in ({}, {"anneal": 0.2, "alpha": 2, "b": 0.7}):
        agree({"name": "pnp", "variant": variant, **keywords})


@pytest.mark.parametrize("keywords", [{}, {"invariance_lambda": 3, "variance_mu": 0.5, "covariance_v": 9, "eps": 0.2}])
def test_vicreg_agrees(keywords: dict[str, Any]) -> None:
    x, y = rows(12, 0), rows(12, 1)
    want = value_and_gradients(pl.VICRegLoss(**keywords)(x, ref_emb=y), [x, y])
    for execution in (Execution("dense"), TILED):
        total = L.VICRegLoss(**keywords)(x, ref_embeddings=y, execution=execution)
        assert_close(value_and_gradients(total, [x, y]), want, 1e-5, execution.plan)


class OfConstantHistogram(torch.nn.Module):
    """PML's dynamic soft margin loss lets gradients through its histogram; see test_differences.py."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__()
        self.loss = pl.DynamicSoftMarginLoss(**keywords)
        update = self.loss.update_histogram
        self.loss.update_histogram = lambda data: update(data.detach())

    def forward(self, x: Tensor, labels: Tensor, tuples: Any, y: Tensor | None, ref_labels: Tensor | None) -> Tensor:
        total: Tensor = self.loss(x, labels, tuples, y, ref_labels)
        return total


@pytest.mark.parametrize("miner", [None, "triplet_margin", "multi_similarity"])
@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("num_bins", [10, 37])
def test_dynamic_soft_margin_agrees_in_its_first_step(num_bins: int, ref: bool, miner: str | None) -> None:
    # of which the second plan would be the second step
    ours = L.DynamicSoftMarginLoss(num_bins=num_bins).eval()
    compare(ours, OfConstantHistogram(num_bins=num_bins), miner, ref)


def test_dynamic_soft_margin_agrees_in_later_steps_that_forget_the_first() -> None:
    ours, theirs = L.DynamicSoftMarginLoss(momentum=1.0), OfConstantHistogram(momentum=1.0)
    for seed in range(3):
        x = rows(len(LABELS), seed)
        want = value_and_gradients(theirs(x, LABELS, None, None, None), [x])
        assert_close(value_and_gradients(ours(x, LABELS), [x]), want, 1e-5)


def test_dynamic_soft_margin_agrees_on_two_views_in_value() -> None:
    x, y = rows(12, 0).detach(), rows(12, 1).detach()
    want = pl.DynamicSoftMarginLoss()(x, ref_emb=y)
    for execution in (Execution("dense"), TILED):
        got = L.DynamicSoftMarginLoss()(x, ref_embeddings=y, execution=execution)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("parameters", [{}, {"lambda_c": 0.0}, {"lambda_c": 3.0, "alpha": 0.5, "margin": 0.1}])
def test_manifold_agrees(parameters: dict[str, float]) -> None:
    torch.manual_seed(7)
    ours, x = L.ManifoldLoss(SIZE, 5, **parameters), rows(len(LABELS), 0)
    renamed = {"lambdaC" if name == "lambda_c" else name: value for name, value in parameters.items()}
    theirs = pl.ManifoldLoss(SIZE, 5, **renamed)
    theirs.proxies.data = ours.proxies.detach().clone()
    want = value_and_gradients(theirs(x, indices_tuple=LABELS), [x, theirs.proxies])  # which it takes for proxies
    for execution in (Execution("dense"), TILED):
        got = value_and_gradients(ours(x, LABELS, execution=execution), [x, ours.proxies])
        assert_close(got, want, 1e-4, execution.plan)
