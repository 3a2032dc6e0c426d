"""The losses against pytorch-metric-learning in float32, value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from pytorch_metric_learning import reducers as pr
from pytorch_metric_learning import regularizers as pg
from torch import Tensor

from metricreg import Execution, Loss, SpecError
from metricreg import distances as D
from metricreg import losses as L
from metricreg import miners as M
from metricreg import reducers as R
from metricreg import regularizers as G
from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import OfUnitRows, built, in_pml

pytestmark = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # torch, of PML's histogram

SIZE = 8
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 0, 2, 4, 0, 1, 2])
REF_LABELS = torch.tensor([1, 0, 3, 2, 2, 0, 1, 4, 4, 0])
TILED = Execution("tiled", tile=5)


def both(kind: str, spec: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """What a spec makes of ours, and of theirs."""
    return partial(built, kind, spec), partial(in_pml, kind, spec)


DISTANCES = {
    "lp": both("distance", {"name": "lp"}),
    "lp p=1": both("distance", {"name": "lp", "p": 1}),
    "lp squared": both("distance", {"name": "lp", "power": 2}),
    "lp raw": both("distance", {"name": "lp", "normalize": False}),
    "cosine": both("distance", {"name": "cosine"}),
    "dot raw": both("distance", {"name": "dot_product", "normalize": False}),
    "snr": both("distance", {"name": "snr"}),
}
REDUCERS = {
    "mean": both("reducer", {"name": "mean"}),
    "sum": both("reducer", {"name": "sum"}),
    "avg_non_zero": both("reducer", {"name": "avg_non_zero"}),
    "threshold": both("reducer", {"name": "threshold", "low": 0.2, "high": 0.7}),
    "class_weighted": both("reducer", {"name": "class_weighted", "weights": [0.5, 2.0, 1.0, 0.25, 3.0]}),
    "per_anchor": both("reducer", {"name": "per_anchor"}),
}
LOSSES: dict[str, tuple[Callable[..., Loss], Callable[..., Any]]] = {
    "contrastive": (L.ContrastiveLoss, pl.ContrastiveLoss),
    "triplet_margin": (L.TripletMarginLoss, pl.TripletMarginLoss),
    "triplet_margin smooth": (
        lambda **slots: L.TripletMarginLoss(smooth=True, margin=0.3, **slots),
        lambda **slots: pl.TripletMarginLoss(smooth_loss=True, margin=0.3, **slots),
    ),
    "triplet_margin swap": (
        lambda **slots: L.TripletMarginLoss(swap=True, margin=0.3, **slots),
        lambda **slots: pl.TripletMarginLoss(swap=True, margin=0.3, **slots),
    ),
    "ntxent": (lambda **slots: L.NTXentLoss(temperature=0.5, **slots), lambda **slots: pl.NTXentLoss(0.5, **slots)),
    "supcon": (lambda **slots: L.SupConLoss(temperature=0.5, **slots), lambda **slots: pl.SupConLoss(0.5, **slots)),
    "multi_similarity": (
        lambda **slots: L.MultiSimilarityLoss(beta=10.0, **slots),
        lambda **slots: pl.MultiSimilarityLoss(beta=10.0, **slots),
    ),
    "circle": (L.CircleLoss, pl.CircleLoss),
    "lifted_structure": (L.LiftedStructureLoss, pl.LiftedStructureLoss),
    "generalized_lifted_structure": (L.GeneralizedLiftedStructureLoss, pl.GeneralizedLiftedStructureLoss),
    "tuplet_margin": (
        lambda **slots: L.TupletMarginLoss(scale=8.0, **slots),
        lambda **slots: pl.TupletMarginLoss(scale=8.0, **slots),
    ),
    "intra_pair_variance": (L.IntraPairVarianceLoss, pl.IntraPairVarianceLoss),
    "snr_contrastive": (
        lambda **slots: L.SNRContrastiveLoss(neg_margin=2.0, **slots),
        lambda **slots: pl.SignalToNoiseRatioContrastiveLoss(neg_margin=2.0, **slots),
    ),
    "fast_ap": (L.FastAPLoss, pl.FastAPLoss),
    "margin": (L.MarginLoss, pl.MarginLoss),
    "histogram": (L.HistogramLoss, pl.HistogramLoss),
    "threshold_consistent_margin": (L.ThresholdConsistentMarginLoss, pl.ThresholdConsistentMarginLoss),
    "margin with a learned boundary a class": (
        lambda **slots: L.MarginLoss(beta=0.8, nu=0.3, learn_beta=True, num_classes=5, **slots),
        lambda **slots: pl.MarginLoss(beta=0.8, nu=0.3, learn_beta=True, num_classes=5, **slots),
    ),
    "margin with a learned boundary": (
        lambda **slots: L.MarginLoss(nu=2.0, learn_beta=True, **slots),
        lambda **slots: pl.MarginLoss(nu=2.0, learn_beta=True, **slots),
    ),
    "npairs": (L.NPairsLoss, pl.NPairsLoss),
    "nca": (
        lambda **slots: L.NCALoss(softmax_scale=3.0, **slots),
        lambda **slots: pl.NCALoss(softmax_scale=3.0, **slots),
    ),
}
MINERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "multi_similarity": (M.MultiSimilarityMiner, pm.MultiSimilarityMiner),
    "triplet_margin": (M.TripletMarginMiner, pm.TripletMarginMiner),
    "batch_hard": (M.BatchHardMiner, pm.BatchHardMiner),
}


def rows(count: int, seed: int) -> Tensor:
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def compare(ours: Loss, theirs: Any, miners: tuple[Any, Any] | None, ref: bool = False, tuples: Any = None) -> None:
    x, y = rows(len(LABELS), 0), rows(len(REF_LABELS), 1)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for mine, other in pairs:
        other.data = mine.detach().clone() if mine.shape == other.shape else mine.detach().T.clone()
    other_ref = (y, REF_LABELS) if ref else (None, None)
    their_tuples = miners[1](x, LABELS, *other_ref) if miners else tuples
    want = value_and_gradients(
        theirs(x, LABELS, their_tuples, *other_ref), [x, *([y] if ref else []), *(other for _, other in pairs)]
    )
    our_tuples = miners[0](x, LABELS, *other_ref) if miners else tuples
    if isinstance(ours, L.NPairsLoss):  # which takes of each class what is listed first, and miners list as they like
        our_tuples = their_tuples
    for execution in (Execution("dense"), TILED):
        keywords = {"ref_embeddings": y, "ref_labels": REF_LABELS} if ref else {}
        total = ours(x, LABELS, tuples=our_tuples, execution=execution, **keywords)
        got = value_and_gradients(total, [x, *([y] if ref else []), *(mine for mine, _ in pairs)])
        got = [g if g.shape == w.shape else g.T for g, w in zip(got, want, strict=True)]
        assert_close(got, want, 1e-5, execution.plan)


def takes(loss: str, distance: str) -> bool:
    try:
        LOSSES[loss][0](distance=DISTANCES[distance][0]())
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
    (ours, theirs), (d, p) = LOSSES[loss], DISTANCES[distance]
    pair = None if miner is None else (MINERS[miner][0](), MINERS[miner][1]())
    compare(ours(distance=d()), theirs(distance=p()), pair, ref)


@pytest.mark.parametrize("miner", [None, *MINERS])
@pytest.mark.parametrize("distance", DISTANCES)
def test_swapped_triplets_agree(distance: str, miner: str | None) -> None:
    (ours, theirs), (d, p) = LOSSES["triplet_margin swap"], DISTANCES[distance]
    pair = None if miner is None else (MINERS[miner][0](), MINERS[miner][1]())
    compare(ours(distance=d()), theirs(distance=p()), pair)


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


@pytest.mark.parametrize("miner", [None, "multi_similarity", "triplet_margin"])
@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_for_every_reducer(loss: str, reducer: str, miner: str | None) -> None:
    if (loss, reducer) in PML_LACKS or (reducer, miner) == ("per_anchor", "triplet_margin"):
        pytest.skip("see test_differences.py")
    (ours, theirs), (r, q) = LOSSES[loss], REDUCERS[reducer]
    pair = None if miner is None else (MINERS[miner][0](), MINERS[miner][1]())
    compare(ours(reducer=r()), theirs(reducer=q()), pair)


@pytest.mark.parametrize(("loss", "ref"), [case for case in REFERENCED if case[0] not in NO_TUPLES])
def test_agrees_on_listed_tuples_with_repetitions(loss: str, ref: bool) -> None:
    ours, theirs = LOSSES[loss]
    triplets = [torch.tensor(t) for t in ([0, 4, 0, 1, 0, 3], [4, 8, 8, 5, 4, 7], [1, 2, 1, 0, 1, 2])]
    pairs = [torch.tensor(t) for t in ([0, 4, 0, 1, 0], [4, 8, 4, 5, 4], [3, 0, 0, 1, 0, 1], [2, 1, 1, 6, 1, 6])]
    for tuples in (triplets, pairs):
        compare(ours(), theirs(), None, ref, tuple(tuples))


@pytest.mark.parametrize("name", ["contrastive", "supcon"])
def test_an_embedding_regularizer_agrees(name: str) -> None:
    ours, theirs = LOSSES[name]
    slots = {"embedding_reg_weight": 0.3}
    compare(
        ours(embedding_regularizer=G.LpRegularizer(), **slots),
        theirs(embedding_regularizer=pg.LpRegularizer(), **slots),
        None,
    )


PROXY_LOSSES: dict[str, tuple[Callable[[], Loss], Callable[[], Any]]] = {
    "arcface": (lambda: L.ArcFaceLoss(5, SIZE), lambda: pl.ArcFaceLoss(5, SIZE)),
    "arcface with a penalty": (
        lambda: L.ArcFaceLoss(5, SIZE, margin=100.0, scale=8.0, weight_regularizer=G.RegularFaceRegularizer()),
        lambda: pl.ArcFaceLoss(5, SIZE, margin=100.0, scale=8.0, weight_regularizer=pg.RegularFaceRegularizer()),
    ),
    "cosface": (lambda: L.CosFaceLoss(5, SIZE), lambda: pl.CosFaceLoss(5, SIZE)),
    "cosface of another margin": (
        lambda: L.CosFaceLoss(6, SIZE, margin=0.1, scale=4.0),
        lambda: pl.CosFaceLoss(6, SIZE, margin=0.1, scale=4.0),
    ),
    "large_margin_softmax": (lambda: L.LargeMarginSoftmaxLoss(5, SIZE), lambda: pl.LargeMarginSoftmaxLoss(5, SIZE)),
    "large_margin_softmax of another margin": (
        lambda: L.LargeMarginSoftmaxLoss(6, SIZE, margin=3, scale=0.5),
        lambda: pl.LargeMarginSoftmaxLoss(6, SIZE, margin=3, scale=0.5),
    ),
    "normalized_softmax": (lambda: L.NormalizedSoftmaxLoss(5, SIZE), lambda: pl.NormalizedSoftmaxLoss(5, SIZE)),
    "normalized_softmax of raw products": (
        lambda: L.NormalizedSoftmaxLoss(6, SIZE, temperature=0.7, distance=D.DotProductSimilarity(normalize=False)),
        lambda: pl.NormalizedSoftmaxLoss(
            6, SIZE, temperature=0.7, distance=pd.DotProductSimilarity(normalize_embeddings=False)
        ),
    ),
    "normalized_softmax of distances": (
        lambda: L.NormalizedSoftmaxLoss(6, SIZE, temperature=0.7, distance=D.LpDistance(normalize=False)),
        lambda: pl.NormalizedSoftmaxLoss(6, SIZE, temperature=0.7, distance=pd.LpDistance(normalize_embeddings=False)),
    ),
    "proxy_anchor": (lambda: L.ProxyAnchorLoss(5, SIZE), lambda: pl.ProxyAnchorLoss(5, SIZE)),
    "proxy_anchor of distances": (
        lambda: L.ProxyAnchorLoss(6, SIZE, alpha=4.0, distance=D.LpDistance(), reducer=R.MeanReducer()),
        lambda: pl.ProxyAnchorLoss(6, SIZE, alpha=4.0, distance=pd.LpDistance(), reducer=pr.MeanReducer()),
    ),
    "proxy_nca": (lambda: L.ProxyNCALoss(5, SIZE), lambda: pl.ProxyNCALoss(5, SIZE)),
    "proxy_nca of cosines": (
        lambda: L.ProxyNCALoss(6, SIZE, softmax_scale=3.0, distance=D.CosineSimilarity()),
        lambda: pl.ProxyNCALoss(6, SIZE, softmax_scale=3.0, distance=pd.CosineSimilarity()),
    ),
    "soft_triple": (lambda: L.SoftTripleLoss(5, SIZE), lambda: pl.SoftTripleLoss(5, SIZE)),
    "soft_triple with few centers": (
        lambda: L.SoftTripleLoss(6, SIZE, centers_per_class=3, la=5.0, gamma=0.5, margin=0.2),
        lambda: pl.SoftTripleLoss(6, SIZE, centers_per_class=3, la=5.0, gamma=0.5, margin=0.2),
    ),
    "sphereface": (lambda: L.SphereFaceLoss(5, SIZE), lambda: pl.SphereFaceLoss(5, SIZE)),
    "sphereface of another margin": (
        lambda: L.SphereFaceLoss(6, SIZE, margin=3, scale=0.5),
        lambda: pl.SphereFaceLoss(6, SIZE, margin=3, scale=0.5),
    ),
    "subcenter_arcface": (
        lambda: L.SubCenterArcFaceLoss(5, SIZE),
        lambda: pl.SubCenterArcFaceLoss(num_classes=5, embedding_size=SIZE),
    ),
    "subcenter_arcface of a large margin": (
        lambda: L.SubCenterArcFaceLoss(6, SIZE, margin=100.0, scale=8.0, sub_centers=2),
        lambda: pl.SubCenterArcFaceLoss(num_classes=6, embedding_size=SIZE, margin=100.0, scale=8.0, sub_centers=2),
    ),
}


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # scipy, of PML's large margins
@pytest.mark.parametrize("miner", [None, *MINERS])
@pytest.mark.parametrize("name", PROXY_LOSSES)
def test_losses_with_proxies_agree(name: str, miner: str | None) -> None:
    if miner and "proxy_nca" in name:
        pytest.skip("see test_differences.py")
    torch.manual_seed(7)
    ours, theirs = PROXY_LOSSES[name]
    compare(ours(), theirs(), None if miner is None else (MINERS[miner][0](), MINERS[miner][1]()))


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
    compare(L.RankedListLoss(**keywords), theirs, None)


@pytest.mark.parametrize("ref", [False, True], ids=["self", "references"])
@pytest.mark.parametrize("reducer", ["mean", "sum", "avg_non_zero", "threshold"])
@pytest.mark.parametrize("alpha", [40.0, 15.0])
def test_angular_agrees_on_unit_embeddings(alpha: float, reducer: str, ref: bool) -> None:
    r, q = REDUCERS[reducer]
    compare(L.AngularLoss(alpha, reducer=r()), OfUnitRows(alpha=alpha, reducer=q()), None, ref)


CONTIGUOUS = torch.arange(4).repeat_interleave(4)  # as many classes as rows of each, which is where PML groups rightly


@pytest.mark.parametrize("miner", [None, "multi_similarity", "triplet_margin"])
@pytest.mark.parametrize("reducer", ["mean", "sum", "avg_non_zero", "threshold"])
@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_smooth_ap_agrees_where_there_are_as_many_classes_as_rows_of_each(
    temperature: float, reducer: str, miner: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LABELS", CONTIGUOUS)
    (r, q), pair = REDUCERS[reducer], None if miner is None else (MINERS[miner][0](), MINERS[miner][1]())
    compare(L.SmoothAPLoss(temperature, reducer=r()), pl.SmoothAPLoss(temperature, reducer=q()), pair)


@pytest.mark.parametrize("variant", ["O", "Ds", "Dq", "Iu", "Ib"])
@pytest.mark.parametrize("labels", [LABELS, CONTIGUOUS])
def test_pnp_agrees(variant: Any, labels: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LABELS", labels)
    for keywords in ({}, {"anneal": 0.2, "alpha": 2, "b": 0.7}):
        compare(L.PNPLoss(variant=variant, **keywords), pl.PNPLoss(variant=variant, **keywords), None)


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
    pair = None if miner is None else (MINERS[miner][0](), MINERS[miner][1]())
    # of which the second plan would be the second step
    ours = L.DynamicSoftMarginLoss(num_bins=num_bins).eval()
    compare(ours, OfConstantHistogram(num_bins=num_bins), pair, ref)


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
