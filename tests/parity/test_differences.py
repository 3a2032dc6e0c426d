"""Where pytorch-metric-learning 2.9.0 is wrong, and how. That ours is the formula's value is in tests/losses.

Tables first, by what PML makes of a batch: an error, nothing, no finite value, the value of another batch, one that is off
by a factor, or another value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from pytorch_metric_learning import reducers as pr
from torch import Tensor

from metricreg import distances as D
from metricreg import losses as L
from metricreg import miners as M
from metricreg import reducers as R
from tests.oracle import (
    DIM,
    DISTANCES,
    SCENARIOS,
    Scenario,
    batch,
    entries,
    pair_loss,
    proxy_loss,
    rows,
    value_and_gradients,
    with_references,
    with_tuples,
)
from tests.reference import reducers
from tests.reference.pair_losses import dynamic_soft_margin
from tests.reference.proxy_losses import manifold

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
    pytest.mark.filterwarnings("ignore:.*temperature:UserWarning"),  # PML, of one that it finds too large
    pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),
]

LABELS = torch.tensor([0, 1, 0, 1, 2, 2, 0])
WEIGHTS = [0.5, 2.0, 1.25]
RANKED: dict[str, Any] = {"margin": 0.5, "Tn": 2.0}

# -- both libraries ----------------------------------------------------------------------------------------------------

Make = Callable[..., Any]
Both = tuple[Make, Make]


def same(name: str, *arguments: Any, **keywords: Any) -> Both:
    """A loss, ours and PML's."""
    return partial(getattr(L, name), *arguments, **keywords), partial(getattr(pl, name), *arguments, **keywords)


def each_with(losses: Both, **keywords: tuple[Any, Any]) -> Both:
    """Both with more keywords, of which each has its own values."""
    first, second = ({name: values[i] for name, values in keywords.items()} for i in (0, 1))
    return partial(losses[0], **first), partial(losses[1], **second)


CLASS_WEIGHTS = (R.ClassWeightedReducer(WEIGHTS), pr.ClassWeightedReducer(torch.tensor(WEIGHTS)))
PER_ANCHOR = (R.PerAnchorReducer(), pr.PerAnchorReducer())
MEAN = (R.MeanReducer(), pr.MeanReducer())
SUM = (R.SumReducer(), pr.SumReducer())


def raw(**keywords: Any) -> tuple[Any, Any]:
    """A distance of rows as they are."""
    return D.LpDistance(normalize=False, **keywords), pd.LpDistance(normalize_embeddings=False, **keywords)


def value(loss: Any, case: Scenario) -> Tensor:
    """What our loss makes of a batch."""
    total: Tensor = loss(case.x, case.labels, **case.arguments())
    return total


def pml(loss: Any, case: Scenario) -> Tensor:
    """What PML's makes of it."""
    total: Tensor = loss(case.x, case.labels, case.tuples, case.ref, case.ref_labels)
    return total


def with_same_vectors(losses: Both) -> tuple[Any, Any]:
    """Both in float64, PML's with our class vectors."""
    ours, theirs = (make().double() for make in losses)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data = own.detach().clone() if own.shape == other.shape else own.detach().T.clone()
    return ours, theirs


def close(got: Any, want: Any, tolerance: float = 1e-6) -> bool:
    return math.isclose(float(got.detach()), float(want.detach()), rel_tol=tolerance)


def gradient(total: Tensor, x: Tensor) -> Tensor:
    return value_and_gradients(total, [x])[1]


# -- batches -----------------------------------------------------------------------------------------------------------


def of(x: Any, labels: Any = LABELS) -> Scenario:
    leaf = torch.as_tensor(x, dtype=torch.float64).detach().requires_grad_()
    return Scenario(leaf, labels if labels is None else torch.as_tensor(labels))


def plain() -> Scenario:
    return of(rows(7))


def changed(**rows_to: Any) -> Scenario:
    """The plain batch with other values in the rows of some numbers, as `_1=0.0`."""
    x = rows(7).detach()
    for name, to in rows_to.items():
        x[int(name[1:])] = to
    return of(x)


def views(count: int) -> Scenario:
    return Scenario(rows(count), None, rows(count, 1))  # type: ignore[arg-type]


def few_against_many() -> Scenario:
    return with_references([0, 1, 2], [0, 1, 2] * 3)


def other_classes() -> Scenario:
    return with_references([0, 1, 2, 0, 1, 2], [1, 0, 0, 2, 1, 0])


def listed(*columns: list[int], labels: Any = LABELS) -> Scenario:
    return with_tuples(of(rows(7), labels), *columns)


UNIT = torch.eye(DIM)[0]
OPPOSITE = ([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], [0, 0, 1])

# -- PML raises --------------------------------------------------------------------------------------------------------

NO_INDEX = (IndexError, "out of bounds|out of range|must match|index")
NO_COLUMN = (RuntimeError, "shape mismatch")  # of values that are [P, 1]
NO_BIN = (RuntimeError, "out of bounds")
NO_REFERENCES = (ValueError, "ref_emb")
REFUSED = (ValueError, "not supported")

RAISES: dict[str, tuple[Both, Callable[[], Scenario], tuple[type[Exception], str]]] = {
    "class weights of proxies": (
        each_with(same("ProxyAnchorLoss", 3, DIM), reducer=CLASS_WEIGHTS),
        lambda: batch([0, 1]),
        NO_INDEX,
    ),
    "per_anchor of more references than anchors": (
        each_with(same("NTXentLoss"), reducer=PER_ANCHOR),
        few_against_many,
        NO_INDEX,
    ),
    "per_anchor of triplets": (
        each_with(same("TripletMarginLoss"), reducer=PER_ANCHOR),
        plain,
        (NotImplementedError, "Triplet reduction"),
    ),
    "per_anchor of lifted_structure": (each_with(same("LiftedStructureLoss"), reducer=PER_ANCHOR), plain, NO_COLUMN),
    "per_anchor of tuplet_margin": (each_with(same("TupletMarginLoss"), reducer=PER_ANCHOR), plain, NO_COLUMN),
    "per_anchor of angular": (each_with(same("AngularLoss"), reducer=PER_ANCHOR), plain, NO_COLUMN),
    "swap with references": (same("TripletMarginLoss", swap=True), few_against_many, NO_INDEX),
    "smooth_ap of unequal classes": (same("SmoothAPLoss"), plain, (ValueError, "same number of elements")),
    "smooth_ap of references": (same("SmoothAPLoss"), other_classes, NO_REFERENCES),
    "npairs of references": (same("NPairsLoss"), other_classes, NO_REFERENCES),
    "fast_ap of references": (same("FastAPLoss"), other_classes, NO_REFERENCES),
    "pnp of references": (same("PNPLoss"), other_classes, NO_REFERENCES),
    "pnp of triplets": (same("PNPLoss"), SCENARIOS["triplets"], (ValueError, "indices_tuple")),
    "ranked_list of references": (same("RankedListLoss", **RANKED), other_classes, REFUSED),
    "ranked_list of pairs": (same("RankedListLoss", **RANKED), SCENARIOS["pairs"], REFUSED),
    "histogram of references": (same("HistogramLoss", n_bins=100), other_classes, NO_REFERENCES),
    "histogram of equal embeddings": (
        same("HistogramLoss"),
        lambda: of(torch.eye(3)[[0, 0, 1, 2]], [0, 0, 1, 1]),
        NO_BIN,
    ),
    "the largest difference of dynamic_soft_margin": (same("DynamicSoftMarginLoss"), lambda: of(*OPPOSITE), NO_BIN),
    "manifold with labels": (same("ManifoldLoss", DIM, 10), plain, (ValueError, "labels are not supported")),
    "manifold of fewer rows than proxies": (
        same("ManifoldLoss", DIM, 10),
        lambda: of(rows(7), None),
        (RuntimeError, "negative"),  # of a random draw of -3 proxies
    ),
}


@pytest.mark.parametrize("name", RAISES)
def test_pml_raises(name: str) -> None:
    (ours, theirs), case, (error, said) = RAISES[name]
    assert value(ours(), case()) > 0
    with pytest.raises(error, match=said):
        pml(theirs(), case())


# -- PML's value is zero, or not finite --------------------------------------------------------------------------------

ZERO: dict[str, tuple[Both, Callable[[], Scenario]]] = {
    "supcon without negatives": (same("SupConLoss"), lambda: batch([0] * 4)),
    "a single pair": (same("ContrastiveLoss"), lambda: with_tuples(batch([0, 0]), [0], [1], [], [])),
    "nca of one anchor": (same("NCALoss"), lambda: with_references([0], [0, 1, 0, 2, 1])),
    "a learned boundary without triplets": (
        same("MarginLoss", learn_beta=True, nu=0.5),
        lambda: batch([0, 1, 2]),
    ),
    "a negative in the anchor's place, of ranked_list": (  # PML leaves out distances of 0
        same("RankedListLoss", margin=0.4, Tn=1.0),
        lambda: of([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], [0, 1, 2]),
    ),
}


@pytest.mark.parametrize("name", ZERO)
def test_pml_is_zero(name: str) -> None:
    (ours, theirs), case = ZERO[name]
    assert value(ours(), case()) > 0.1
    assert pml(theirs(), case()) == 0


NOT_FINITE: dict[str, tuple[Both, Callable[[], Scenario]]] = {
    "nca without positives": (same("NCALoss"), lambda: batch([0, 1, 2, 3])),  # the mean of no values
    "snr of a zero row": ((L.SNRContrastiveLoss, pl.SignalToNoiseRatioContrastiveLoss), lambda: changed(_1=0.0)),
    "p2s_grad of a zero row": (same("P2SGradLoss", DIM, 3), lambda: changed(_2=0.0)),
    "tuplet_margin of duplicates": (same("TupletMarginLoss"), lambda: changed(_0=UNIT, _2=UNIT)),  # the arc cosine of 1
    "weights of a ranked list that overflow": (
        each_with(same("RankedListLoss", margin=0.5, Tn=10.0, Tp=10.0), distance=raw()),
        lambda: of(100 * rows(7)),
    ),
    "vicreg of one row": (same("VICRegLoss"), lambda: views(1)),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_pml_is_not_finite(name: str) -> None:
    (ours, theirs), make = NOT_FINITE[name]
    case = make()
    found = [
        value_and_gradients(total, case.leaves)
        for total in (value(ours().double(), case), pml(theirs().double(), case))
    ]
    assert [all(bool(part.isfinite().all()) for part in parts) for parts in found] == [True, False]


# -- PML's value is that of another batch, off by a factor, or another -------------------------------------------------


def runs_of(*labels: int) -> Callable[[], Scenario]:
    """Six rows."""
    return lambda: of(rows(6), list(labels))


def unit(case: Scenario) -> Scenario:
    return of(torch.nn.functional.normalize(case.x.detach()), case.labels)


def twice(case: Scenario) -> Scenario:
    """The same labels of the same rows, in another tensor."""
    return Scenario(case.x, case.labels, case.x, case.labels.clone())


def all_negatives() -> Scenario:
    return with_tuples(unit(plain()), [0, 1], [2, 3], [0] * 4 + [1] * 5, [1, 3, 4, 5, 0, 2, 4, 5, 6])


def of_batch_rows() -> Scenario:
    """What PML takes for the references: rows of the batch, with the references' labels."""
    case = other_classes()
    return Scenario(case.x, case.labels, case.x.detach().clone(), case.ref_labels)


SINGLETONS = [0, 0, 1, 1, 2, 3, 4]
PAIRS_OF_TRIPLETS = (
    [0, 1, 2, 3],
    [1, 0, 3, 2],
    [a for a in range(4) for _ in range(5)],
    [j for a in range(4) for j in range(7) if SINGLETONS[a] != SINGLETONS[j]],
)
THREES, TWOS, IN_TURNS = runs_of(0, 0, 0, 1, 1, 1), runs_of(0, 0, 1, 1, 2, 2), runs_of(0, 1, 0, 1, 0, 1)

AS_IF: dict[str, tuple[Both, Callable[[], Scenario], Callable[[], Scenario]]] = {
    "angular looks at all negatives, whatever tuples say": (
        same("AngularLoss"),
        lambda: with_tuples(unit(plain()), [0, 1], [2, 3], [1, 4]),
        all_negatives,
    ),
    "histogram has pairs of triplets only": (
        same("HistogramLoss"),
        lambda: of(rows(7), SINGLETONS),
        lambda: listed(*PAIRS_OF_TRIPLETS, labels=SINGLETONS),
    ),
    "histogram has pairs of anchors with both kinds": (
        same("HistogramLoss"),
        lambda: listed([0, 1], [2, 3], [0, 4, 5], [1, 3, 6]),
        lambda: listed([0], [2], [0], [1]),
    ),
    "threshold_consistent_margin looks at rows of the batch": (
        same("ThresholdConsistentMarginLoss"),
        other_classes,
        of_batch_rows,
    ),
    # PML cuts a batch of C classes into runs of C rows, and looks at the labels only to count them
    "smooth_ap of two classes has runs of two": (same("SmoothAPLoss"), THREES, TWOS),
    "smooth_ap of three classes has runs of three": (same("SmoothAPLoss"), TWOS, THREES),
    "smooth_ap of classes in turns has runs": (same("SmoothAPLoss"), IN_TURNS, TWOS),
    "npairs takes the pair that is listed first": (
        same("NPairsLoss"),
        lambda: listed([2, 0, 1], [0, 2, 3], [0], [1]),
        lambda: listed([2, 1], [0, 3], [0], [1]),
    ),
    "tuples that list nothing select all": (same("CosFaceLoss", 3, DIM), lambda: listed([], [], []), plain),
}


@pytest.mark.parametrize("name", AS_IF)
def test_pml_has_the_value_of_another_batch(name: str) -> None:
    losses, case, other = AS_IF[name]
    ours, theirs = with_same_vectors(losses)
    assert close(pml(theirs, case()), value(ours, other()), 1e-4)
    assert not close(value(ours, case()), value(ours, other()), 1e-3)


FACTORS: dict[str, tuple[Both, Callable[[], Scenario], float]] = {
    # of values that are elements, PML's per_anchor takes the plain mean: here of 4 anchors, not of 5
    "per_anchor of an anchor without a value": (
        each_with(same("NCALoss"), reducer=PER_ANCHOR),
        lambda: batch([0, 1, 0, 1, 2]),
        5 / 4,
    ),
    # each row has six weights of 1, and PML adds 1e-5 to each of seven
    "1e-5 on each weight of a ranked list": (
        same("RankedListLoss", margin=0.1, Tn=0.0, imbalance=0.0, alpha=1.0),
        lambda: batch([0] * 7),
        6 / (6 + 7e-5),
    ),
    "features of vicreg that are summed like rows": (
        each_with(same("VICRegLoss", invariance_lambda=0.0, covariance_v=0.0), reducer=SUM),
        lambda: views(7),
        float(DIM),
    ),
}


@pytest.mark.parametrize("name", FACTORS)
def test_pml_is_off_by_a_factor(name: str) -> None:
    (ours, theirs), case, factor = FACTORS[name]
    want = value(ours(), case())
    assert want > 0
    assert close(pml(theirs(), case()), factor * want)


ANOTHER: dict[str, tuple[Both, Callable[[], Scenario]]] = {
    **{  # PML's values are a column, which meets the weights [N] in all combinations
        f"class weights of {name}": (each_with(same(name), reducer=CLASS_WEIGHTS), plain)
        for name in (
            "AngularLoss",
            "CircleLoss",
            "GeneralizedLiftedStructureLoss",
            "LiftedStructureLoss",
            "MultiSimilarityLoss",
            "TupletMarginLoss",
        )
    },
    # PML takes the negatives of the anchor that has the reference's row number
    "lifted_structure of references": (same("LiftedStructureLoss"), other_classes),
    # PML scales them to unit length in the norm of the distance
    "proxies of normalized_softmax in another norm": (
        each_with(same("NormalizedSoftmaxLoss", 3, DIM), distance=raw(p=1)),
        plain,
    ),
    "angular of raw negatives": (same("AngularLoss"), lambda: of(3 * rows(7))),
    "proxy_nca of tuples": (same("ProxyNCALoss", 3, DIM), lambda: listed([0, 0, 4], [2, 6, 5], [1, 3, 0])),
    # PML then takes each embedding as its own positive at distance 0
    "the same labels in another tensor": (each_with(same("ContrastiveLoss"), reducer=MEAN), lambda: twice(plain())),
}


@pytest.mark.parametrize("name", ANOTHER)
def test_pml_has_another_value(name: str) -> None:
    losses, case = ANOTHER[name]
    ours, theirs = with_same_vectors(losses)
    assert not close(pml(theirs, case()), value(ours, case()), 1e-3)


def test_a_pair_without_negatives_counts_the_logarithm_of_an_empty_sum_as_zero() -> None:
    case = listed([0, 2, 1], [2, 0, 3], [1, 1], [4, 5])  # 0 and 2 have no negatives
    ours, theirs = (loss() for loss in each_with(same("LiftedStructureLoss"), reducer=SUM))
    squared = DISTANCES["lp"][1].of(case.x[0], case.x[2]) ** 2
    assert close(pml(theirs, case), value(ours, case) + squared)


def test_instance_wants_class_c_to_be_row_c() -> None:
    case, gamma = of(rows(7), [1, 0, 1, 0, 2, 2, 1]), 4.0
    ours, theirs = (loss() for loss in same("InstanceLoss", gamma=gamma))
    rows_as_classes = torch.nn.functional.cross_entropy(gamma * D.CosineSimilarity()(case.x), case.labels)
    assert close(pml(theirs, case), rows_as_classes)
    assert not close(value(ours, case), rows_as_classes, 1e-2)


# -- numbers that are far from one -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reducers",
    [
        (R.AvgNonZeroReducer(), pr.AvgNonZeroReducer()),
        (R.ThresholdReducer(low=0.01), pr.ThresholdReducer(low=0.01)),
        (R.ThresholdReducer(high=5.0), pr.ThresholdReducer(high=5.0)),
    ],
    ids=["avg_non_zero", "low", "high"],
)
def test_a_nan_is_hidden_by_reducers_that_compare(reducers: tuple[Any, Any]) -> None:
    ours, theirs = (loss() for loss in each_with(same("ContrastiveLoss"), reducer=reducers))
    case = changed(_3=torch.nan)
    assert value(ours, case).isnan()
    assert not pml(theirs, case).isnan()


def test_ntxent_saturates() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.05], [1.0, 0.01], [1.0, 0.02]], requires_grad=True)
    case = with_tuples(Scenario(x, torch.tensor([0, 0, 1, 2])), [0], [1], [0, 0], [2, 3])
    ours, theirs = (value(L.NTXentLoss(temperature=0.01), case), pml(pl.NTXentLoss(temperature=0.01), case))
    assert float(ours.detach()) > 199
    assert gradient(ours, x).abs().max() > 1
    assert float(theirs.detach()) == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))  # 87.3
    assert gradient(theirs, x).abs().max() == 0


def test_a_tiny_cross_entropy_is_dropped() -> None:
    ours, theirs = L.CosFaceLoss(3, 3, margin=0.0), pl.CosFaceLoss(3, 3, margin=0.0)
    ours.proxies.data = torch.eye(3)
    theirs.W.data = torch.eye(3)
    x, labels = torch.eye(3, requires_grad=True), torch.arange(3)
    assert float(ours(x, labels).detach()) == pytest.approx(2 * math.exp(-64.0), rel=1e-5)
    assert gradient(ours(x, labels), x).abs().max() > 0
    assert float(theirs(x, labels).detach()) == 0  # of the difference of two logarithms; and avg_non_zero drops it


def test_nca_leaves_out_anchors_whose_positives_are_far() -> None:
    ours, theirs = (loss() for loss in each_with(same("NCALoss"), distance=raw(power=2)))
    case = Scenario(torch.tensor([[0.0], [15.0], [0.1], [0.2]], requires_grad=True), torch.tensor([0, 0, 1, 1]))
    assert pml(theirs, case) < value(ours, case) / 10  # e^-225 is 0 in float32


def test_proxy_nca_leaves_out_the_embeddings_that_are_farthest_off() -> None:
    x, labels = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), torch.tensor([1, 0])
    ours, theirs = (loss() for loss in same("ProxyNCALoss", 2, 2, softmax_scale=60.0))
    for loss in (ours, theirs):
        loss.proxies.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(ours(x, labels).detach()) == pytest.approx(120.0)  # (240 + 0) / 2
    assert float(theirs(x, labels).detach()) == pytest.approx(0.0)


def test_proxy_nca_has_the_own_proxy_in_the_sum_which_the_paper_leaves_out() -> None:
    (ours, theirs), case = with_same_vectors(same("ProxyNCALoss", 3, DIM)), plain()
    d, own = D.LpDistance(power=2)(case.x, ours.proxies), torch.nn.functional.one_hot(LABELS).bool()
    papers = d[own] + (-d).masked_fill(own, -torch.inf).logsumexp(1)
    assert close(value(ours, case), pml(theirs, case))
    assert close(value(ours, case), torch.nn.functional.softplus(papers).mean())
    assert value(ours, case) > papers.mean()


def test_snr_of_a_zero_embedding_is_infinite() -> None:
    x = changed(_1=0.0).x
    assert D.SNRDistance()(x).isfinite().all()
    assert not pd.SNRDistance()(x).isfinite().all()


def test_the_gradient_of_a_zero_embedding_is_huge() -> None:
    case = changed(_1=0.0)
    assert gradient(value(L.ContrastiveLoss(), case), case.x).abs().max() < 10
    assert gradient(pml(pl.ContrastiveLoss(), case), case.x).abs().max() > 1e9  # 1 over the least norm


def test_the_gradient_of_repeated_pairs_is_not_that_of_the_value() -> None:
    ours, theirs = (loss() for loss in each_with(same("NTXentLoss"), reducer=PER_ANCHOR))
    repeated, once = listed([0, 0, 0, 2], [2, 2, 6, 0], [0, 2], [1, 3]), listed([0, 0, 2], [2, 6, 0], [0, 2], [1, 3])
    assert close(pml(theirs, repeated), value(ours, once))  # PML counts a repeated pair once, and each copy's gradient
    wrong, right = gradient(pml(theirs, repeated), repeated.x), gradient(value(ours, once), once.x)
    assert not torch.allclose(wrong, right, rtol=0.05, atol=0.0)


def test_manifold_inverts_in_float32() -> None:
    (ours, theirs), case = with_same_vectors(same("ManifoldLoss", DIM, 3)), plain()
    want = gradient(proxy_loss(manifold, ours.proxies)(case), case.x)
    off = gradient(value(ours, case), case.x) - want
    pmls_off = gradient(theirs(case.x, indices_tuple=LABELS), case.x) - want
    scale = float(want.abs().max())
    assert float(off.abs().max()) < 1e-12 * scale
    assert 1e-9 * scale < float(pmls_off.abs().max()) < 1e-4 * scale


# -- state and parameters ----------------------------------------------------------------------------------------------


def test_parameters_change_their_type_with_the_input() -> None:
    ours, theirs = (loss() for loss in same("ArcFaceLoss", 3, DIM))
    value(ours, plain())
    pml(theirs, plain())
    assert ours.proxies.dtype is torch.float32
    assert theirs.W.dtype is torch.float64


def test_p2s_grad_rewrites_its_weights() -> None:
    ours, theirs = (loss().double() for loss in same("P2SGradLoss", DIM, 3))
    with torch.no_grad():
        ours.proxies.mul_(2.0)
        theirs.weight.mul_(2.0)
    value(ours, plain())
    pml(theirs, plain())
    assert (ours.proxies.norm(dim=1) > 1.5).all()
    torch.testing.assert_close(theirs.weight.norm(dim=0), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)


def test_wrong_hyperparameters_are_accepted() -> None:
    with pytest.raises(ValueError, match="temperature"):
        L.NTXentLoss(temperature=0.0)
    assert pml(pl.NTXentLoss(0.0), plain()).isnan()
    with pytest.raises(ValueError, match="margin"):
        L.SphereFaceLoss(3, DIM, margin=1.9)
    assert pl.SphereFaceLoss(3, DIM, margin=1.9).margin == 1
    with pytest.raises(ValueError, match="2 over a whole number"):
        L.HistogramLoss(delta=0.45)
    with pytest.raises(RuntimeError, match="out of bounds"):  # PML's last of 4 bins ends at 0.8
        pml(pl.HistogramLoss(delta=0.45), of([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], [0, 0, 1]))


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        (*CLASS_WEIGHTS, "weights"),
        (L.MarginLoss(), pl.MarginLoss(), "beta"),
        (L.DynamicSoftMarginLoss(), pl.DynamicSoftMarginLoss(), "histogram"),
    ],
)
def test_what_is_not_computed_anew_is_missing_in_the_state(ours: Any, theirs: Any, what: str) -> None:
    assert what in ours.state_dict()
    assert not theirs.state_dict()


def test_dominant_centers_of_absent_classes_are_memory_as_it_was_found() -> None:
    ours, theirs = (loss() for loss in same("SubCenterArcFaceLoss", num_classes=3, embedding_size=DIM))
    x, labels = rows(4).detach().float(), torch.tensor([0, 0, 2, 2])
    assert ours.dominant_centers(x, labels)[1] == 3
    assert len(theirs.get_outliers(x, labels, return_dominant_centers=False)) == 2  # and are always returned


def test_the_dynamic_soft_margin_takes_one_step_only() -> None:
    ours, theirs = (loss() for loss in same("DynamicSoftMarginLoss"))
    for _ in range(3):
        value(ours, plain()).backward()
    pml(theirs, plain()).backward()
    with pytest.raises(RuntimeError, match="second time"):  # the graph of the first step is in its histogram
        pml(theirs, plain()).backward()
    value(L.DynamicSoftMarginLoss(), views(5)).backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pml(pl.DynamicSoftMarginLoss(), views(5)).backward()


def test_the_weights_of_the_dynamic_soft_margin_have_a_gradient() -> None:
    case = plain()
    want = value_and_gradients(pair_loss(dynamic_soft_margin, DISTANCES["lp"][1], reducers.mean)(case), [case.x])
    ours = value_and_gradients(value(L.DynamicSoftMarginLoss(), case), [case.x])
    theirs = value_and_gradients(pml(pl.DynamicSoftMarginLoss(), case), [case.x])
    assert close(theirs[0], want[0])
    torch.testing.assert_close(ours[1], want[1])
    assert not torch.allclose(theirs[1], want[1], rtol=0.1)


@pytest.mark.parametrize("others", [2, 9])
def test_the_dynamic_soft_margin_forgets_faster_the_more_triplets_there_are(others: int) -> None:
    ours, theirs = (loss() for loss in same("DynamicSoftMarginLoss", momentum=0.25))
    alike = of([[1.0, 0.0]] * 3, [0, 0, 1])  # all differences are 0
    far = of([[1.0, 0.0]] * 2 + [[-1.0, 0.0]] * others, [0, 0] + [1] * others)  # all are -2
    triplets = 2 * others + others * (others - 1) * 2
    for case in (alike, far):
        value(ours.double(), case)
        pml(theirs, case)
    assert float(ours.histogram[0].detach()) == pytest.approx(0.25)
    assert float(theirs.hist_[0].detach()) == pytest.approx(0.25 * triplets / (0.75 + 0.25 * triplets))


# -- miners ------------------------------------------------------------------------------------------------------------


def test_the_angular_miner_measures_raw_embeddings() -> None:
    x, lengths = unit(plain()).x.detach(), torch.arange(1.0, 8.0, dtype=torch.float64)[:, None]
    want = entries(pm.AngularMiner(25.0)(x, LABELS))
    assert entries(M.AngularMiner(25.0)(x, LABELS).columns()) == want
    assert entries(M.AngularMiner(25.0)(x * lengths, LABELS).columns()) == want
    assert entries(pm.AngularMiner(25.0)(x * lengths, LABELS)) != want


def test_a_range_for_all_pairs_is_ignored() -> None:
    x, near = rows(7), (0.0, 1.0)
    d = D.LpDistance()(x)
    ours = M.BatchEasyHardMiner("all", "all", near, near)(x, LABELS).columns()
    theirs = pm.BatchEasyHardMiner("all", "all", near, near)(x, LABELS)
    for i in (0, 2):
        assert (d[ours[i], ours[i + 1]] <= 1.0).all()
        assert len(ours[i]) == int((d[theirs[i], theirs[i + 1]] <= 1.0).sum())
        assert (d[theirs[i], theirs[i + 1]] > 1.0).any()


def test_distance_weighted_draws_positives_with_repetitions() -> None:
    x, labels = rows(12, size=3), torch.tensor([0, 1, 2] * 4)
    ours = M.DistanceWeightedMiner(nonzero_loss_cutoff=2.1)(x, labels).columns()
    assert len({*entries(ours[:2])}) == len(ours[0]) == 12 * 3
    torch.manual_seed(0)
    theirs = pm.DistanceWeightedMiner(nonzero_loss_cutoff=2.1)(x, labels)
    assert len(theirs[0]) == 12 * 4  # as many an anchor as its class has rows
    assert len({*entries(theirs[:2])}) < 12 * 3


def test_distance_weighted_loses_anchors_whose_negatives_are_far() -> None:
    x = torch.nn.functional.normalize(torch.randn(24, 512, generator=torch.Generator().manual_seed(0)))
    x[12:] = torch.nn.functional.normalize(x[:12] + 0.05 * x[12:])  # twins, but in one class except for the last
    labels = torch.tensor([*range(12), *range(11), 0])
    x += 0.02 * torch.randn(512, generator=torch.Generator().manual_seed(1))
    ours = M.DistanceWeightedMiner()(x, labels).columns()[0].unique()
    d, other = D.LpDistance()(x), labels[:, None] != labels
    paired = ((labels[:, None] == labels).sum(1) > 1) & ((d < 1.4) & other).any(1)
    assert ours.tolist() == paired.nonzero()[:, 0].tolist()
    # PML subtracts the batch's greatest log weight, and the weights of all other anchors become 0 in float32
    theirs = pm.DistanceWeightedMiner()(x, labels)[0].unique()
    assert 0 < len(theirs) < len(ours) // 2


def test_uniform_histogram_raises_on_a_nan() -> None:
    x = changed(_3=torch.nan).x.detach()
    assert len(M.UniformHistogramMiner(distance=D.CosineSimilarity())(x, LABELS).columns()[0])
    with pytest.raises((RuntimeError, ValueError)):
        pm.UniformHistogramMiner(distance=pd.CosineSimilarity())(x, LABELS)
