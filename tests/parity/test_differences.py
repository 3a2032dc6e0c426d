"""Where pytorch-metric-learning 2.9.0 is wrong: its value, ours, and the formula's."""

from __future__ import annotations

import math
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
from tests import oracle
from tests.oracle import (
    DISTANCES,
    SCENARIOS,
    Scenario,
    entries,
    pair_loss,
    proxy_loss,
    value_and_gradients,
    with_references,
)
from tests.parity.counterparts import built, in_pml
from tests.reference import reducers
from tests.reference.distances import lp_measure
from tests.reference.pair_losses import (
    angular,
    circle,
    dynamic_soft_margin,
    generalized_lifted_structure,
    histogram,
    instance,
    lifted_structure,
    multi_similarity,
    npairs,
    ntxent,
    ranked_list,
    supcon,
    threshold_consistent_margin,
    triplet_margin,
    tuplet_margin,
)
from tests.reference.proxy_losses import manifold, normalized_softmax, p2s_grad, proxy_nca
from tests.reference.rank_losses import nca, smooth_ap

of_histograms = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # torch, of PML's code
LABELS = torch.tensor([0, 1, 0, 1, 2, 2, 0])
WEIGHTS = [0.5, 2.0, 1.25]
rows = partial(oracle.rows, size=6)
COSINE, LP = DISTANCES["cosine"][1], DISTANCES["lp"][1]


def close(got: Any, want: Any, tolerance: float = 1e-9) -> bool:
    return math.isclose(float(got.detach()), float(want.detach()), rel_tol=tolerance)


@pytest.mark.parametrize(
    ("ours", "formula", "theirs", "measure"),
    [
        (L.MultiSimilarityLoss, multi_similarity, pl.MultiSimilarityLoss, COSINE),
        (L.CircleLoss, circle, pl.CircleLoss, COSINE),
        (L.GeneralizedLiftedStructureLoss, generalized_lifted_structure, pl.GeneralizedLiftedStructureLoss, LP),
    ],
)
def test_class_weights_meet_each_anchors_own_loss(ours: Any, formula: Any, theirs: Any, measure: Any) -> None:
    x = rows(7)
    want = pair_loss(formula, measure, lambda v, a: reducers.class_weighted(v, a, WEIGHTS))(Scenario(x, LABELS))
    assert close(ours(reducer=R.ClassWeightedReducer(WEIGHTS))(x, LABELS), want)
    # PML broadcasts [N, 1] losses against [N] weights: mean loss times mean weight
    weighted = theirs(reducer=pr.ClassWeightedReducer(torch.tensor(WEIGHTS)))(x, LABELS)
    broadcast = theirs(reducer=pr.MeanReducer())(x, LABELS) * torch.tensor(WEIGHTS)[LABELS].mean()
    assert close(weighted, broadcast, 1e-6)
    assert not close(weighted, want, 1e-3)


def test_class_weights_work_on_proxies() -> None:
    x = rows(7)
    assert L.ProxyAnchorLoss(3, 6, reducer=R.ClassWeightedReducer(WEIGHTS))(x, LABELS).isfinite()
    theirs = pl.ProxyAnchorLoss(3, 6, reducer=pr.ClassWeightedReducer(torch.tensor(WEIGHTS)))
    with pytest.raises(IndexError):
        theirs(rows(2), torch.tensor([0, 1]))


def test_per_anchor_takes_more_references_than_anchors() -> None:
    x, y = rows(3), rows(9, 1)
    labels, ref_labels = torch.tensor([0, 1, 2]), torch.arange(9) % 3
    scenario = Scenario(x, labels, y, ref_labels)
    want = pair_loss(ntxent, COSINE, reducers.per_anchor)(scenario)
    loss = L.NTXentLoss(reducer=R.PerAnchorReducer())
    assert close(loss(x, labels, ref_embeddings=y, ref_labels=ref_labels), want)
    with pytest.raises(IndexError):
        pl.NTXentLoss(reducer=pr.PerAnchorReducer())(x, labels, ref_emb=y, ref_labels=ref_labels)


def test_per_anchor_takes_triplets() -> None:
    x, keywords = rows(7), {"margin": 0.3}
    want = pair_loss(triplet_margin, LP, reducers.per_anchor, **keywords)(Scenario(x, LABELS))
    assert close(L.TripletMarginLoss(reducer=R.PerAnchorReducer(), **keywords)(x, LABELS), want)
    with pytest.raises(NotImplementedError):
        pl.TripletMarginLoss(reducer=pr.PerAnchorReducer(), **keywords)(x, LABELS)


def test_per_anchor_of_repeated_pairs_has_the_gradient_of_its_value() -> None:
    x, ours = rows(7), L.NTXentLoss(reducer=R.PerAnchorReducer())
    tuples = tuple(torch.tensor(t) for t in ([0, 0, 0, 2], [2, 2, 6, 0], [0, 2], [1, 3]))
    scenario = Scenario(x, LABELS, tuples=tuples)
    want = value_and_gradients(pair_loss(ntxent, COSINE, reducers.per_anchor)(scenario), [x])
    got = value_and_gradients(ours(x, LABELS, tuples=tuples), [x])
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-12)

    # PML counts a repeated pair once, and gives each of its copies the whole gradient
    def theirs(z: Tensor) -> Tensor:
        total: Tensor = pl.NTXentLoss(reducer=pr.PerAnchorReducer())(z, LABELS, tuples)
        return total

    once = tuple(torch.tensor(t) for t in ([0, 0, 2], [2, 6, 0], [0, 2], [1, 3]))
    assert close(theirs(x), ours(x, LABELS, tuples=once))
    assert not torch.allclose(
        value_and_gradients(theirs(x), [x])[1],
        value_and_gradients(ours(x, LABELS, tuples=once), [x])[1],
        rtol=0.05,
        atol=0.0,
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (R.AvgNonZeroReducer(), pr.AvgNonZeroReducer()),
        (R.ThresholdReducer(low=0.01), pr.ThresholdReducer(low=0.01)),
        (R.ThresholdReducer(high=5.0), pr.ThresholdReducer(high=5.0)),
    ],
    ids=["avg_non_zero", "low", "high"],
)
def test_a_nan_is_not_hidden(ours: Any, theirs: Any) -> None:
    x = rows(7).detach()
    x[3] = torch.nan
    assert L.ContrastiveLoss(reducer=ours)(x, LABELS).isnan()
    assert not pl.ContrastiveLoss(reducer=theirs)(x, LABELS).isnan()


def test_ntxent_does_not_saturate() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.05], [1.0, 0.01], [1.0, 0.02]], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2])
    tuples = tuple(torch.tensor(t) for t in ([0], [1], [0, 0], [2, 3]))
    true = pair_loss(ntxent, COSINE, reducers.mean, temperature=0.01)(Scenario(x.double(), labels, tuples=tuples))
    ours = L.NTXentLoss(temperature=0.01)(x, labels, tuples=tuples)
    theirs = pl.NTXentLoss(0.01)(x, labels, tuples)
    assert float(true.detach()) > 199
    assert close(ours, true, 1e-5)
    assert value_and_gradients(ours, [x])[1].abs().max() > 1
    assert float(theirs.detach()) == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))  # 87.3
    assert value_and_gradients(theirs, [x])[1].abs().max() == 0


def test_swap_takes_references() -> None:
    x, y = rows(3), rows(9, 1)
    labels, ref_labels = torch.tensor([0, 1, 2]), torch.arange(9) % 3
    keywords: dict[str, Any] = {"margin": 0.3, "swap": True}
    want = pair_loss(triplet_margin, DISTANCES["lp"][1], reducers.avg_non_zero, **keywords)(
        Scenario(x, labels, y, ref_labels)
    )
    assert close(L.TripletMarginLoss(**keywords)(x, labels, ref_embeddings=y, ref_labels=ref_labels), want)
    with pytest.raises(IndexError):
        pl.TripletMarginLoss(**keywords)(x, labels, ref_emb=y, ref_labels=ref_labels)


def test_supcon_without_negatives_still_has_a_loss() -> None:
    x, labels = rows(4), torch.zeros(4, dtype=torch.long)
    want = pair_loss(supcon, COSINE, reducers.avg_non_zero)(Scenario(x, labels))
    assert float(want.detach()) > 0
    assert close(L.SupConLoss()(x, labels), want)
    assert float(pl.SupConLoss()(x, labels).detach()) == 0


def test_a_single_pair_counts() -> None:
    x, labels = rows(2), torch.tensor([0, 0])
    tuples = tuple(torch.tensor(t) for t in ([0], [1], [], []))
    d = (torch.nn.functional.normalize(x[0], dim=0) - torch.nn.functional.normalize(x[1], dim=0)).norm()
    assert close(L.ContrastiveLoss()(x, labels, tuples=([0], [1], [], [])), d)
    assert float(pl.ContrastiveLoss()(x, labels, tuples).detach()) == 0  # PML wants two pairs


def test_snr_stays_finite_on_a_zero_embedding() -> None:
    x = rows(4).detach()
    x[1] = 0.0
    x.requires_grad_()
    ours = D.SNRDistance()(x)
    assert ours.isfinite().all()
    assert value_and_gradients(ours.sum(), [x])[1].isfinite().all()
    assert not pd.SNRDistance()(x).isfinite().all()


def test_the_gradient_of_a_zero_embedding_is_of_ordinary_size() -> None:
    x = rows(4).detach()
    x[1] = 0.0
    x.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    assert value_and_gradients(L.ContrastiveLoss()(x, labels), [x])[1].abs().max() < 10
    assert value_and_gradients(pl.ContrastiveLoss()(x, labels), [x])[1].abs().max() > 1e9  # 1 over the least norm


def test_equal_labels_in_another_tensor_are_the_same_batch() -> None:
    x = rows(7)
    want = L.ContrastiveLoss()(x, LABELS)
    assert close(L.ContrastiveLoss()(x, LABELS, ref_embeddings=x, ref_labels=LABELS.clone()), want)
    assert close(pl.ContrastiveLoss()(x, LABELS, ref_emb=x, ref_labels=LABELS), want)
    # PML then takes each embedding as its own positive at distance 0, and its mean has seven values more
    mean = {"reducer": pr.MeanReducer()}
    theirs = pl.ContrastiveLoss(**mean)(x, LABELS, ref_emb=x, ref_labels=LABELS.clone())
    assert not close(theirs, pl.ContrastiveLoss(**mean)(x, LABELS), 1e-3)


def test_parameters_keep_their_type_for_any_input() -> None:
    ours, theirs = L.ArcFaceLoss(3, 6), pl.ArcFaceLoss(3, 6)
    ours(rows(7), LABELS)
    theirs(rows(7), LABELS)
    assert ours.proxies.dtype is torch.float32
    assert theirs.W.dtype is torch.float64


def test_wrong_hyperparameters_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        L.NTXentLoss(temperature=0.0)
    assert pl.NTXentLoss(0.0)(rows(7), LABELS).isnan()


def test_the_angle_of_a_triplet_is_that_of_unit_embeddings() -> None:
    x, lengths = torch.nn.functional.normalize(rows(7).detach()), torch.arange(1.0, 8.0, dtype=torch.float64)[:, None]

    want = entries(pm.AngularMiner(25.0)(x, LABELS))
    assert entries(M.AngularMiner(25.0)(x, LABELS).columns()) == want
    assert entries(M.AngularMiner(25.0)(x * lengths, LABELS).columns()) == want
    # PML insists on a distance that normalises, and then measures embeddings as they are
    assert entries(pm.AngularMiner(25.0)(x * lengths, LABELS)) != want


def test_ranges_hold_for_all_pairs_too() -> None:
    x, near = rows(7), (0.0, 1.0)
    d = D.LpDistance()(x)
    ours = M.BatchEasyHardMiner("all", "all", near, near)(x, LABELS).columns()
    theirs = pm.BatchEasyHardMiner("all", "all", near, near)(x, LABELS)
    for i in (0, 2):
        assert (d[ours[i], ours[i + 1]] <= 1.0).all()
        assert len(ours[i]) == int((d[theirs[i], theirs[i + 1]] <= 1.0).sum())
        assert (d[theirs[i], theirs[i + 1]] > 1.0).any()  # PML leaves the range of `all` aside


def test_distance_weighted_takes_each_positive_pair_once() -> None:
    x = rows(12, size=3)
    labels = torch.tensor([0, 1, 2] * 4)
    ours = M.DistanceWeightedMiner(nonzero_loss_cutoff=2.1)(x, labels).columns()
    assert len({*zip(ours[0].tolist(), ours[1].tolist(), strict=True)}) == len(ours[0]) == 12 * 3
    torch.manual_seed(0)
    theirs = pm.DistanceWeightedMiner(nonzero_loss_cutoff=2.1)(x, labels)
    assert len(theirs[0]) == 12 * 4  # PML draws positives, as many an anchor as its class has rows
    assert len({*zip(theirs[0].tolist(), theirs[1].tolist(), strict=True)}) < 12 * 3


def test_distance_weighted_keeps_anchors_whose_negatives_are_far() -> None:
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


def test_uniform_histogram_takes_a_nan() -> None:
    x = rows(7).detach()
    x[3] = torch.nan
    assert len(M.UniformHistogramMiner(distance=D.CosineSimilarity())(x, LABELS).columns()[0])
    with pytest.raises((RuntimeError, ValueError)):
        pm.UniformHistogramMiner(distance=pd.CosineSimilarity())(x, LABELS)


def test_proxy_nca_weighs_embeddings_by_all_their_occurrences() -> None:
    x, tuples = rows(7), tuple(torch.tensor(t) for t in ([0, 0, 4], [2, 6, 5], [1, 3, 0]))
    ours, theirs = L.ProxyNCALoss(3, 6).double(), pl.ProxyNCALoss(3, 6).double()
    theirs.proxies.data = ours.proxies.detach().clone()
    formula = proxy_loss(proxy_nca, ours.proxies)
    assert close(ours(x, LABELS), theirs(x, LABELS))
    assert close(ours(x, LABELS, tuples=tuples), formula(Scenario(x, LABELS, tuples=tuples)))
    # PML takes the proxies for a reference set that the tuples were drawn from, and so counts anchors alone, unlike in
    # its other losses with proxies
    each = L.ProxyNCALoss(3, 6, reducer=R.DoNothingReducer()).double()
    each.proxies.data = ours.proxies.detach().clone()
    losses = each(x, LABELS)["loss"].values
    assert close(theirs(x, LABELS, tuples), (losses * torch.tensor([1.0, 0, 0, 0, 0.5, 0, 0])).mean(), 1e-6)
    assert not close(theirs(x, LABELS, tuples), ours(x, LABELS, tuples=tuples), 0.01)


def test_proxy_nca_keeps_the_embeddings_that_are_farthest_off() -> None:
    x = torch.tensor([[1.0, 0.0], [0.9, 0.1]], requires_grad=True)
    ours, theirs = L.ProxyNCALoss(2, 2, softmax_scale=60.0), pl.ProxyNCALoss(2, 2, softmax_scale=60.0)
    ours.proxies.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    theirs.proxies.data = ours.proxies.detach().clone()
    labels = torch.tensor([1, 0])
    want = proxy_loss(proxy_nca, ours.proxies.double(), softmax_scale=60.0)(Scenario(x.double(), labels))
    assert close(ours(x, labels), want, 1e-5)
    assert float(want.detach()) == pytest.approx(120.0)  # (240 + 0) / 2
    assert float(theirs(x, labels).detach()) == pytest.approx(0.0)  # a probability that underflows is left out


def test_proxy_nca_has_the_own_proxy_in_the_sum_which_the_paper_leaves_out() -> None:
    x = rows(7)
    ours, theirs = L.ProxyNCALoss(3, 6).double(), pl.ProxyNCALoss(3, 6).double()
    theirs.proxies.data = ours.proxies.detach().clone()
    d = D.LpDistance(power=2)(x, ours.proxies)
    own = torch.nn.functional.one_hot(LABELS).bool()
    papers = (d[own] + (-d).masked_fill(own, -torch.inf).logsumexp(1)).mean()
    assert close(ours(x, LABELS), theirs(x, LABELS))
    assert close(
        ours(x, LABELS), torch.nn.functional.softplus(d[own] + (-d).masked_fill(own, -torch.inf).logsumexp(1)).mean()
    )
    assert float(ours(x, LABELS).detach()) > float(papers.detach())


def test_normalized_softmax_has_proxies_of_unit_euclidean_length_whatever_the_distance() -> None:
    x = rows(7)
    ours = L.NormalizedSoftmaxLoss(3, 6, distance=D.LpDistance(p=1, normalize=False)).double()
    theirs = pl.NormalizedSoftmaxLoss(3, 6, distance=pd.LpDistance(p=1, normalize_embeddings=False)).double()
    theirs.W.data = ours.proxies.detach().T.clone()
    measure = lp_measure(p=1.0, normalize=False)
    assert close(ours(x, LABELS), proxy_loss(normalized_softmax, ours.proxies, measure=measure)(Scenario(x, LABELS)))
    theirs_of_l1 = theirs(x, LABELS)  # PML scales them to unit length in the norm of the distance
    ours.proxies.data = torch.nn.functional.normalize(ours.proxies.detach(), p=1)
    assert not close(theirs_of_l1, ours(x, LABELS), 1e-3)


def test_dominant_centers_of_absent_classes_are_centers_of_theirs() -> None:
    ours, theirs = L.SubCenterArcFaceLoss(3, 6), pl.SubCenterArcFaceLoss(num_classes=3, embedding_size=6)
    theirs.W.data = ours.proxies.detach().T.clone()
    x, labels = rows(4).detach().float(), torch.tensor([0, 0, 2, 2])
    assert ours.dominant_centers(x, labels)[1] == 3
    # PML leaves memory as it was found in their place, and always returns two things
    assert len(theirs.get_outliers(x, labels, return_dominant_centers=False)) == 2


def test_tuples_that_list_nothing_select_nothing() -> None:
    x, tuples = rows(7), tuple(torch.zeros(0, dtype=torch.long) for _ in range(3))
    ours, theirs = L.CosFaceLoss(3, 6).double(), pl.CosFaceLoss(3, 6).double()
    theirs.W.data = ours.proxies.detach().T.clone()
    assert float(ours(x, LABELS, tuples=tuples).detach()) == 0
    assert close(theirs(x, LABELS, tuples), theirs(x, LABELS))  # PML then takes all embeddings


def test_instance_wants_an_embedding_among_its_own_class() -> None:
    x, labels = rows(7), torch.tensor([1, 0, 1, 0, 2, 2, 1])
    want = pair_loss(instance, COSINE, reducers.mean, gamma=4.0)(Scenario(x, labels))
    assert close(L.InstanceLoss(gamma=4.0)(x, labels), want)
    # PML wants class c to be row c of the batch, whatever that row's label is: here [0, 1, 0] for rows of 1, 0, 1
    theirs = pl.InstanceLoss(gamma=4.0)
    logits = 4.0 * D.CosineSimilarity()(x)
    assert close(theirs(x, labels), torch.nn.functional.cross_entropy(logits, labels))
    order = torch.tensor([4, 1, 3, 0, 2, 6, 5])
    assert close(L.InstanceLoss(gamma=4.0)(x[order], labels[order]), want)
    assert not close(theirs(x[order], labels[order]), theirs(x, labels), 1e-2)


def test_p2s_grad_stays_finite_on_a_zero_embedding_and_leaves_its_weights() -> None:
    x = rows(7).detach()
    x[2] = 0.0
    x.requires_grad_()
    ours, theirs = L.P2SGradLoss(6, 3).double(), pl.P2SGradLoss(6, 3).double()
    with torch.no_grad():
        ours.proxies.mul_(2.0)
    theirs.weight.data = ours.proxies.detach().T.clone()
    want = value_and_gradients(proxy_loss(p2s_grad, ours.proxies)(Scenario(x, LABELS)), [x, ours.proxies])
    got = value_and_gradients(ours(x, LABELS), [x, ours.proxies])
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-12)
    assert torch.equal(ours.proxies.norm(dim=1) > 1.5, torch.ones(3, dtype=torch.bool))
    assert not theirs(x, LABELS).isfinite()
    torch.testing.assert_close(theirs.weight.norm(dim=0), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_margins_that_are_no_whole_number_are_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        L.SphereFaceLoss(3, 6, margin=1.9)
    assert pl.SphereFaceLoss(3, 6, margin=1.9).margin == 1


def test_nca_of_a_batch_without_positives_is_zero() -> None:
    x, labels = rows(4), torch.arange(4)
    total = L.NCALoss()(x, labels)
    assert float(total.detach()) == 0
    assert total.requires_grad
    assert pl.NCALoss()(x, labels).isnan()  # the mean of no values


def test_nca_keeps_the_anchors_whose_positives_are_far() -> None:
    x = torch.tensor([[0.0], [15.0], [0.1], [0.2]], requires_grad=True)
    labels, raw = torch.tensor([0, 0, 1, 1]), {"power": 2}
    scenario = Scenario(x.double(), labels)
    want = pair_loss(nca, lp_measure(power=2.0, normalize=False), reducers.mean)(scenario)
    assert close(L.NCALoss(distance=D.LpDistance(normalize=False, **raw))(x, labels), want, 1e-4)
    # e^-225 is 0 in float32, and PML leaves out what has the probability 0
    theirs = pl.NCALoss(distance=pd.LpDistance(normalize_embeddings=False, **raw))(x, labels)
    assert float(theirs.detach()) < float(want.detach()) / 10


def test_nca_of_one_anchor_against_references_is_not_zero() -> None:
    x, y, ref_labels = rows(1), rows(5, 1), torch.tensor([0, 1, 0, 2, 1])
    scenario = Scenario(x, torch.tensor([0]), y, ref_labels)
    want = pair_loss(nca, DISTANCES["lp squared"][1], reducers.mean)(scenario)
    assert close(L.NCALoss()(x, [0], ref_embeddings=y, ref_labels=ref_labels), want)
    assert float(pl.NCALoss()(x, torch.tensor([0]), ref_emb=y, ref_labels=ref_labels).detach()) == 0


def test_an_anchor_without_a_value_is_one_of_the_anchors() -> None:
    x, labels = rows(5), torch.tensor([0, 1, 0, 1, 2])
    want = pair_loss(nca, DISTANCES["lp squared"][1], reducers.per_anchor)(Scenario(x, labels))
    assert close(L.NCALoss(reducer=R.PerAnchorReducer())(x, labels), want)
    # of values that are elements, PML's per_anchor takes the plain mean: here of 4 anchors, not of 5
    assert close(pl.NCALoss(reducer=pr.PerAnchorReducer())(x, labels), want * 5 / 4, 1e-6)


def test_npairs_takes_the_pair_of_the_first_anchor_however_pairs_are_listed() -> None:
    x, tuples = rows(7), tuple(torch.tensor(t) for t in ([2, 0, 1], [0, 2, 3], [0], [1]))
    want = reducers.mean(npairs(COSINE, x, x, [(0, 2), (1, 3)])["loss"], reducers.Anchors(2))
    assert close(L.NPairsLoss()(x, LABELS, tuples=tuples), want)
    listed_first = reducers.mean(npairs(COSINE, x, x, [(2, 0), (1, 3)])["loss"], reducers.Anchors(2))
    assert close(pl.NPairsLoss()(x, LABELS, tuples), listed_first, 1e-6)


@pytest.mark.parametrize(
    ("ours", "formula", "theirs", "measure"),
    [
        (L.LiftedStructureLoss, lifted_structure, pl.LiftedStructureLoss, LP),
        (L.TupletMarginLoss, tuplet_margin, pl.TupletMarginLoss, COSINE),
        (L.AngularLoss, angular, pl.AngularLoss, LP),
    ],
)
def test_pair_losses_are_weighed_by_class_and_anchor_pair_by_pair(
    ours: Any, formula: Any, theirs: Any, measure: Any
) -> None:
    scenario = Scenario(rows(7), LABELS)
    want = pair_loss(formula, measure, lambda v, a: reducers.class_weighted(v, a, WEIGHTS))(scenario)
    assert close(ours(reducer=R.ClassWeightedReducer(WEIGHTS))(scenario.x, LABELS), want)
    # PML's values are a column [P, 1], which meets the weights [P] in all combinations, and fits no matrix
    weighted = theirs(reducer=pr.ClassWeightedReducer(torch.tensor(WEIGHTS)))(scenario.x, LABELS)
    assert not close(weighted, want, 1e-3)
    each = pair_loss(formula, measure, reducers.per_anchor)(scenario)
    assert close(ours(reducer=R.PerAnchorReducer())(scenario.x, LABELS), each)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        theirs(reducer=pr.PerAnchorReducer())(scenario.x, LABELS)


def test_lifted_structure_of_references_takes_the_negatives_of_the_reference() -> None:
    case = with_references([0, 1, 2, 0], [1, 0, 0, 2, 1, 0])
    assert case.ref is not None
    assert case.ref_labels is not None
    want = pair_loss(lifted_structure, LP, reducers.mean)(case)
    assert close(L.LiftedStructureLoss()(case.x, case.labels, **case.arguments()), want)
    # PML takes the negatives of the anchor that has the reference's row number, whatever that is
    theirs = pl.LiftedStructureLoss()(case.x, case.labels, ref_emb=case.ref, ref_labels=case.ref_labels)
    assert not close(theirs, want, 1e-3)


def test_lifted_structure_of_a_pair_without_negatives_is_zero() -> None:
    x = rows(7)
    alone = tuple(torch.tensor(t) for t in ([0, 2, 1], [2, 0, 3], [1, 1], [4, 5]))  # 0 and 2 have no negatives
    scenario = Scenario(x, LABELS, tuples=alone)
    want = pair_loss(lifted_structure, LP, reducers.sum_)(scenario)
    assert close(L.LiftedStructureLoss(reducer=R.SumReducer())(x, LABELS, tuples=alone), want)
    d = LP.of(x[0], x[2])  # the logarithm of an empty sum counts as 0 in PML, and is -inf in the paper
    assert close(pl.LiftedStructureLoss(reducer=pr.SumReducer())(x, LABELS, alone), want + d**2, 1e-6)


def test_tuplet_margin_of_duplicate_embeddings_is_finite() -> None:
    x = rows(7).detach()
    x[0] = x[2] = torch.eye(6, dtype=x.dtype)[0]
    x.requires_grad_()
    want = pair_loss(tuplet_margin, COSINE, reducers.mean)(Scenario(x, LABELS))
    ours = L.TupletMarginLoss()(x, LABELS)
    assert close(ours, want)
    assert value_and_gradients(ours, [x])[1].isfinite().all()
    theirs = pl.TupletMarginLoss()(x, LABELS)  # the arc cosine has no slope at 1, and no value above
    assert not all(part.isfinite().all() for part in value_and_gradients(theirs, [x]))


def test_a_tiny_cross_entropy_is_not_zero() -> None:
    ours, theirs = L.CosFaceLoss(3, 3, margin=0.0), pl.CosFaceLoss(3, 3, margin=0.0)
    ours.proxies.data = torch.eye(3)
    theirs.W.data = torch.eye(3)
    x, labels = torch.eye(3, requires_grad=True), torch.arange(3)
    true = 2 * math.exp(-64.0)
    assert float(ours(x, labels).detach()) == pytest.approx(true, rel=1e-5)
    assert value_and_gradients(ours(x, labels), [x])[1].abs().max() > 0
    assert float(theirs(x, labels).detach()) == 0  # of the difference of two logarithms; and avg_non_zero drops it


def test_weights_of_a_ranked_list_add_up_to_one() -> None:
    x, keywords = rows(7), {"margin": 0.5, "Tn": 0.0, "imbalance": 0.0, "alpha": 1.0}
    labels = torch.zeros(7, dtype=torch.long)
    want = pair_loss(ranked_list, LP, reducers.mean, **keywords)(Scenario(x, labels))
    assert close(L.RankedListLoss(**keywords)(x, labels), want)
    d = D.LpDistance()(x)
    assert int(((d > 0.5) & ~torch.eye(7, dtype=torch.bool)).sum()) == 42  # each row has six weights of 1
    theirs = pl.RankedListLoss(**keywords)(x, labels)  # PML adds 1e-5 to each entry of a row's weights
    assert close(theirs, want * 6 / (6 + 7e-5))


def test_weights_of_a_ranked_list_do_not_overflow() -> None:
    x, keywords = rows(7).detach().float() * 10, {"margin": 0.5, "Tn": 10.0, "Tp": 10.0}
    raw = lp_measure(normalize=False)
    want = pair_loss(ranked_list, raw, reducers.mean, alpha=1.25, imbalance=0.5, **keywords)(
        Scenario(x.double(), LABELS)
    )
    assert close(L.RankedListLoss(distance=D.LpDistance(normalize=False), **keywords)(x, LABELS), want, 1e-5)
    with pytest.warns(UserWarning, match="temperature"):
        theirs = pl.RankedListLoss(distance=pd.LpDistance(normalize_embeddings=False), **keywords)
    assert theirs(x, LABELS).isnan()  # PML divides exponentials by their sum, here inf by inf


def test_a_negative_in_the_anchors_place_counts_in_a_ranked_list() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    keywords = {"margin": 0.4, "Tn": 1.0}
    want = pair_loss(ranked_list, LP, reducers.mean, **keywords)(Scenario(x, torch.tensor([0, 1, 2])))
    assert float(want) == pytest.approx(0.5 * 1.2 * 2 / 3)
    assert close(L.RankedListLoss(**keywords)(x, [0, 1, 2]), want)
    assert float(pl.RankedListLoss(**keywords)(x, torch.tensor([0, 1, 2]))) == 0  # it leaves out distances of 0


def test_a_learned_boundary_has_its_penalty_without_triplets_too() -> None:
    x, labels, keywords = rows(3), torch.arange(3), {"nu": 0.5, "learn_beta": True}
    assert float(L.MarginLoss(**keywords)(x, labels).detach()) == pytest.approx(0.6)
    assert float(pl.MarginLoss(**keywords)(x, labels).detach()) == 0


def test_negatives_of_the_angular_loss_are_unit_vectors_too() -> None:
    x = rows(7).detach() * 3.0
    want = pair_loss(angular, LP, reducers.mean)(Scenario(x, LABELS))
    assert close(L.AngularLoss()(x, LABELS), want)
    assert not close(pl.AngularLoss()(x, LABELS), want, 0.1)
    assert close(pl.AngularLoss()(torch.nn.functional.normalize(x), LABELS), want, 1e-6)


def test_the_angular_loss_looks_at_the_negatives_that_are_listed() -> None:
    x = torch.nn.functional.normalize(rows(7).detach())
    tuples = tuple(torch.tensor(t) for t in ([0, 1], [2, 3], [1, 4]))
    scenario = Scenario(x, LABELS, tuples=tuples)
    want = pair_loss(angular, LP, reducers.mean)(scenario)
    assert close(L.AngularLoss()(x, LABELS, tuples=tuples), want)
    every = tuple(torch.tensor(t) for t in ([0, 1], [2, 3], [0, 0, 0, 0, 1, 1, 1, 1, 1], [1, 3, 4, 5, 0, 2, 4, 5, 6]))
    all_of_them = pair_loss(angular, LP, reducers.mean)(Scenario(x, LABELS, tuples=every))
    assert close(pl.AngularLoss()(x, LABELS, tuples), all_of_them, 1e-6)  # whatever the tuples say


@of_histograms
def test_negative_pairs_of_two_classes_of_one_are_in_the_histogram() -> None:
    x, labels = rows(7), torch.tensor([0, 0, 1, 1, 2, 3, 4])
    want = pair_loss(histogram, COSINE, reducers.mean)(Scenario(x, labels))
    assert close(L.HistogramLoss()(x, labels), want)
    # PML has the pairs of triplets only, and of classes of one there is no triplet
    of_triplets = ([0, 1, 2, 3], [1, 0, 3, 2], [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5)
    others = [j for a in range(4) for j in range(7) if labels[a] != labels[j]]
    tuples = tuple(torch.tensor(t) for t in (*of_triplets, others))
    assert close(pl.HistogramLoss()(x, labels), L.HistogramLoss()(x, labels, tuples=tuples), 1e-5)
    assert not close(pl.HistogramLoss()(x, labels), want, 1e-3)


@of_histograms
def test_pairs_of_anchors_that_have_one_kind_only_are_in_the_histogram() -> None:
    x, tuples = rows(7), tuple(torch.tensor(t) for t in ([0, 1], [2, 3], [0, 4, 5], [1, 3, 6]))
    want = pair_loss(histogram, COSINE, reducers.mean)(Scenario(x, LABELS, tuples=tuples))
    assert close(L.HistogramLoss()(x, LABELS, tuples=tuples), want)
    # PML makes triplets of listed pairs, and takes from those what they have
    joined = tuple(torch.tensor(t) for t in ([0], [2], [0], [1]))
    assert close(pl.HistogramLoss()(x, LABELS, tuples), L.HistogramLoss()(x, LABELS, tuples=joined), 1e-4)


@of_histograms
def test_equal_embeddings_are_in_the_last_bin_of_a_histogram() -> None:
    x, labels = torch.eye(3)[[0, 0, 1, 2]], torch.tensor([0, 0, 1, 1])
    want = pair_loss(histogram, COSINE, reducers.mean)(Scenario(x.double(), labels))
    assert close(L.HistogramLoss()(x, labels), want, 1e-6)
    with pytest.raises(RuntimeError, match="out of bounds"):
        pl.HistogramLoss()(x, labels)


@of_histograms
def test_bins_that_do_not_fill_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="2 over a whole number"):
        L.HistogramLoss(delta=0.45)
    with pytest.raises(RuntimeError, match="out of bounds"):  # PML's last of 4 bins ends at 0.8
        pl.HistogramLoss(delta=0.45)(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), torch.tensor([0, 0, 1]))


def test_threshold_consistent_margin_looks_at_the_references() -> None:
    case = with_references([0, 1, 2, 0, 1, 2], [1, 0, 0, 2, 1, 0])
    want = pair_loss(threshold_consistent_margin, COSINE, reducers.mean)(case)
    ours = L.ThresholdConsistentMarginLoss()
    assert close(ours(case.x, case.labels, **case.arguments()), want)
    # PML takes the rows of the batch that have the references' numbers
    theirs = pl.ThresholdConsistentMarginLoss()(case.x, case.labels, ref_emb=case.ref, ref_labels=case.ref_labels)
    rows_of_batch = ours(case.x, case.labels, ref_embeddings=case.x.clone(), ref_labels=case.ref_labels)
    assert close(theirs, rows_of_batch, 1e-6)
    assert not close(theirs, want, 1e-3)


def test_smooth_ap_ranks_by_class_wherever_its_rows_are() -> None:
    x = rows(6)
    threes, twos, turns = (torch.tensor(y) for y in ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]))
    want = [pair_loss(smooth_ap, COSINE, reducers.mean)(Scenario(x, labels)) for labels in (threes, twos, turns)]
    assert all(close(L.SmoothAPLoss()(x, y), w) for y, w in zip((threes, twos, turns), want, strict=True))
    assert not close(want[0], want[1], 0.05)
    # PML cuts a batch of C classes into runs of C rows, and looks at the labels only to count them
    assert close(pl.SmoothAPLoss()(x, threes), want[1], 1e-6)
    assert close(pl.SmoothAPLoss()(x, turns), want[1], 1e-6)
    assert close(pl.SmoothAPLoss()(x, twos), want[0], 1e-6)


def test_smooth_ap_takes_classes_of_different_sizes_and_references() -> None:
    x = rows(7)
    want = pair_loss(smooth_ap, COSINE, reducers.mean)(Scenario(x, LABELS))
    assert close(L.SmoothAPLoss()(x, LABELS), want)
    with pytest.raises(ValueError, match="same number of elements"):
        pl.SmoothAPLoss()(x, LABELS)
    case = with_references([0, 1, 2, 0], [1, 0, 0, 2, 1, 0])
    want = pair_loss(smooth_ap, COSINE, reducers.mean)(case)
    assert close(L.SmoothAPLoss()(case.x, case.labels, **case.arguments()), want)
    with pytest.raises(ValueError, match="ref_emb"):
        pl.SmoothAPLoss()(case.x, case.labels, ref_emb=case.ref, ref_labels=case.ref_labels)


def test_vicreg_of_one_row_is_the_distance_of_its_views() -> None:
    x, y = rows(1), rows(1, 1)
    assert close(L.VICRegLoss()(x, ref_embeddings=y), 25.0 * (x - y).square().mean())
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert pl.VICRegLoss()(x, ref_emb=y).isnan()


def test_features_of_vicreg_are_no_rows_to_a_reducer() -> None:
    x, y = rows(7, 3, size=3), rows(7, 4, size=3)
    keywords = {"invariance_lambda": 0.0, "covariance_v": 0.0}
    want = L.VICRegLoss(**keywords)(x, ref_embeddings=y)
    assert want > 0
    summed = L.VICRegLoss(reducer=R.SumReducer(), **keywords)(x, ref_embeddings=y)
    assert close(summed, want)  # the mean over features is part of the formula
    assert close(pl.VICRegLoss(reducer=pr.SumReducer(), **keywords)(x, ref_emb=y), 3 * want)  # which PML sums


def test_the_dynamic_soft_margin_takes_another_step() -> None:
    ours, theirs = L.DynamicSoftMarginLoss(), pl.DynamicSoftMarginLoss()
    for seed in range(3):
        ours(rows(7, seed), LABELS).backward()
    theirs(rows(7), LABELS).backward()
    with pytest.raises(RuntimeError, match="second time"):  # the graph of the first step is in its histogram
        theirs(rows(7, 1), LABELS).backward()


def test_the_weights_of_the_dynamic_soft_margin_are_constants() -> None:
    x = rows(7)
    want = value_and_gradients(pair_loss(dynamic_soft_margin, LP, reducers.mean)(Scenario(x, LABELS)), [x])
    got = value_and_gradients(L.DynamicSoftMarginLoss()(x, LABELS), [x])
    theirs = value_and_gradients(pl.DynamicSoftMarginLoss()(x, LABELS), [x])
    assert close(got[0], want[0])
    assert close(theirs[0], want[0])
    torch.testing.assert_close(got[1], want[1])
    assert not torch.allclose(theirs[1], want[1], rtol=0.1)


@pytest.mark.parametrize("others", [2, 9])
def test_the_momentum_of_the_dynamic_soft_margin_is_the_share_of_a_batch_however_large(others: int) -> None:
    ours, theirs = L.DynamicSoftMarginLoss(momentum=0.25).double(), pl.DynamicSoftMarginLoss(momentum=0.25)
    alike = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64)  # all differences are 0
    far = torch.tensor([[1.0, 0.0]] * 2 + [[-1.0, 0.0]] * others, dtype=torch.float64)  # all are -2
    triplets = 2 * others + others * (others - 1) * 2
    for loss in (ours, theirs):
        loss(alike, torch.tensor([0, 0, 1]))
        loss(far, torch.tensor([0, 0] + [1] * others))
    assert float(ours.histogram[0]) == pytest.approx(0.25)
    assert float(theirs.hist_[0]) == pytest.approx(0.25 * triplets / (0.75 + 0.25 * triplets))


def test_the_largest_difference_is_in_the_histogram_of_the_dynamic_soft_margin() -> None:
    x, labels = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
    assert L.DynamicSoftMarginLoss()(x, labels) == 1.0
    with pytest.raises(RuntimeError, match="index 10 is out of bounds"):
        pl.DynamicSoftMarginLoss()(x, labels)


def test_the_dynamic_soft_margin_of_two_views_has_a_gradient() -> None:
    x, y = rows(5), rows(5, 1)
    L.DynamicSoftMarginLoss()(x, ref_embeddings=y).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pl.DynamicSoftMarginLoss()(x, ref_emb=y).backward()


def test_manifold_takes_labels_and_batches_smaller_than_its_proxies() -> None:
    x = rows(7)
    ours, theirs = L.ManifoldLoss(6, 10).double(), pl.ManifoldLoss(6, 10).double()
    assert close(ours(x, LABELS), proxy_loss(manifold, ours.proxies)(Scenario(x, LABELS)))
    with pytest.raises(ValueError, match="labels are not supported"):
        theirs(x, LABELS)
    assert ours(x).isfinite()
    with pytest.raises(RuntimeError, match="negative"):  # of a random draw of -3 proxies
        theirs(x)


def test_manifold_of_float64_is_as_exact_as_that() -> None:
    x, ours, theirs = rows(7), L.ManifoldLoss(6, 3).double(), pl.ManifoldLoss(6, 3).double()
    theirs.proxies.data = ours.proxies.detach().clone()
    want = value_and_gradients(proxy_loss(manifold, ours.proxies)(Scenario(x, LABELS)), [x])[1]
    off = value_and_gradients(ours(x, LABELS), [x])[1] - want
    theirs_off = value_and_gradients(theirs(x, indices_tuple=LABELS), [x])[1] - want
    scale = float(want.abs().max())
    assert float(off.abs().max()) < 1e-12 * scale
    assert 1e-9 * scale < float(theirs_off.abs().max()) < 1e-4 * scale  # PML inverts in float32


@of_histograms
@pytest.mark.parametrize(
    ("spec", "scenario", "said"),
    [
        ({"name": "npairs"}, "references", "ref_emb"),
        ({"name": "fast_ap"}, "references", "ref_emb"),
        ({"name": "histogram", "n_bins": 100}, "references", "ref_emb"),
        ({"name": "pnp"}, "references", "ref_emb"),
        ({"name": "pnp"}, "triplets", "indices_tuple"),
        ({"name": "ranked_list", "margin": 0.5, "Tn": 2.0}, "references", "not supported"),
        ({"name": "ranked_list", "margin": 0.5, "Tn": 2.0}, "pairs", "not supported"),
    ],
)
def test_references_and_tuples_are_taken(spec: dict[str, Any], scenario: str, said: str) -> None:
    case = SCENARIOS[scenario]()
    assert built("loss", spec)(case.x, case.labels, **case.arguments()) > 0
    with pytest.raises(ValueError, match=said):
        in_pml("loss", spec)(case.x, case.labels, case.tuples, case.ref, case.ref_labels)


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        (R.ClassWeightedReducer(WEIGHTS), pr.ClassWeightedReducer(torch.tensor(WEIGHTS)), "weights"),
        (L.MarginLoss(), pl.MarginLoss(), "beta"),
        (L.DynamicSoftMarginLoss(), pl.DynamicSoftMarginLoss(), "histogram"),
    ],
)
def test_what_is_not_computed_anew_is_part_of_the_state(ours: Any, theirs: Any, what: str) -> None:
    assert what in ours.state_dict()
    assert not theirs.state_dict()
