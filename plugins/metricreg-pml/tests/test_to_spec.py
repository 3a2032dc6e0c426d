"""Objects of pytorch-metric-learning as specs of metricreg's own components: the same values and gradients."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import metricreg_pml
import numpy as np
import pytest
import torch
from metricreg_pml import NoCounterpartError, PMLDifferenceWarning, catalogue, load_state, to_spec
from metricreg_pml.conversion import exact
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from pytorch_metric_learning import reducers as pr
from pytorch_metric_learning import regularizers as pg
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

import metricreg

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # scipy, of PML's large margins
    pytest.mark.filterwarnings("ignore::metricreg_pml.PMLDifferenceWarning"),
    pytest.mark.filterwarnings("ignore::metricreg.NothingToLearnWarning"),
]

SIZE = 6
LABELS = torch.arange(16) // 4
NAMES = list(catalogue.components("loss"))
OWN = {"num_classes": 4, "embedding_size": SIZE}
RAW = pd.LpDistance(normalize_embeddings=False, power=2)


def several(**reducers: Any) -> Any:
    return pr.MultipleReducers(reducers, pr.SumReducer())


def losses() -> dict[str, tuple[Any, dict[str, Any]]]:
    """An object of each class, and the parameters of its spec."""
    found = {
        "angular": (pl.AngularLoss(30), {"alpha": 30.0}),
        "arcface": (
            pl.ArcFaceLoss(**OWN, margin=20, scale=30, weight_regularizer=pg.LpRegularizer(p=1), weight_reg_weight=0.3),
            {
                **OWN,
                "margin": 20.0,
                "scale": 30,
                "weight_regularizer": {"name": "lp", "p": 1},
                "weight_reg_weight": 0.3,
            },
        ),
        "circle": (pl.CircleLoss(gamma=16), {"gamma": 16}),
        "contrastive": (
            pl.ContrastiveLoss(0.1, 0.9, reducer=several(pos_loss=pr.MeanReducer()), distance=RAW),
            {
                "pos_margin": 0.1,
                "neg_margin": 0.9,
                "distance": {"name": "lp", "normalize": False, "power": 2},
                "reducer": {"name": "multiple", "reducers": {"pos_loss": "mean", "neg_loss": "sum"}},
            },
        ),
        "cosface": (
            pl.CosFaceLoss(**OWN, weight_init_func=TorchInitWrapper(nn.init.uniform_)),
            {**OWN, "weight_init": "uniform"},
        ),
        "cross_batch_memory": (
            pl.CrossBatchMemory(pl.NTXentLoss(0.5), SIZE, 24, pm.MultiSimilarityMiner()),
            {
                "loss": {"name": "ntxent", "temperature": 0.5},
                "embedding_size": SIZE,
                "memory_size": 24,
                "miner": "multi_similarity",
            },
        ),
        "fast_ap": (pl.FastAPLoss(7), {"num_bins": 7}),
        "generalized_lifted_structure": (pl.GeneralizedLiftedStructureLoss(pos_margin=0.2), {"pos_margin": 0.2}),
        "histogram": (pl.HistogramLoss(delta=0.1), {"n_bins": 20}),
        "intra_pair_variance": (pl.IntraPairVarianceLoss(0.3, 0.2), {"pos_eps": 0.3, "neg_eps": 0.2}),
        "large_margin_softmax": (pl.LargeMarginSoftmaxLoss(**OWN, margin=3), {**OWN, "margin": 3}),
        "lifted_structure": (pl.LiftedStructureLoss(), {}),
        "manifold": (pl.ManifoldLoss(SIZE, 4, lambdaC=2.0), {"l": SIZE, "K": 4, "lambda_c": 2.0}),
        "margin": (
            pl.MarginLoss(beta=1.1, nu=0.3, learn_beta=True, num_classes=4),
            {"beta": 1.1, "nu": 0.3, "learn_beta": True, "num_classes": 4},
        ),
        "multi_similarity": (pl.MultiSimilarityLoss(1.5, base=0.3), {"alpha": 1.5, "base": 0.3}),
        "multiple": (
            pl.MultipleLosses(
                {"one": pl.ContrastiveLoss(), "two": pl.ArcFaceLoss(**OWN)},
                {"one": pm.PairMarginMiner()},
                {"one": 1, "two": 0.5},
            ),
            {
                "losses": {"one": "contrastive", "two": {"name": "arcface", **OWN}},
                "miners": {"one": "pair_margin"},
                "weights": {"one": 1.0, "two": 0.5},
            },
        ),
        "nca": (
            pl.NCALoss(3, embedding_regularizer=pg.ZeroMeanRegularizer(), embedding_reg_weight=0.1),
            {
                "softmax_scale": 3,
                "embedding_regularizer": "zero_mean",
                "embedding_reg_weight": 0.1,
            },
        ),
        "normalized_softmax": (pl.NormalizedSoftmaxLoss(**OWN, temperature=0.2), {**OWN, "temperature": 0.2}),
        "npairs": (pl.NPairsLoss(), {}),
        "ntxent": (pl.NTXentLoss(0.3, reducer=pr.PerAnchorReducer()), {"temperature": 0.3, "reducer": "per_anchor"}),
        "p2s_grad": (pl.P2SGradLoss(SIZE, 4), {"num_classes": 4, "embedding_size": SIZE}),
        "pnp": (pl.PNPLoss(variant="Ib", reducer=pr.SumReducer()), {"variant": "Ib"}),
        "proxy_anchor": (pl.ProxyAnchorLoss(**OWN, alpha=16), {**OWN, "alpha": 16}),
        "proxy_nca": (pl.ProxyNCALoss(**OWN, softmax_scale=5), {**OWN, "softmax_scale": 5}),
        "ranked_list": (pl.RankedListLoss(0.4, 1.0, Tp=0.5), {"margin": 0.4, "Tn": 1.0, "Tp": 0.5}),
        "self_supervised": (pl.SelfSupervisedLoss(pl.NTXentLoss()), {"loss": "ntxent"}),
        "snr_contrastive": (pl.SignalToNoiseRatioContrastiveLoss(neg_margin=0.7), {"neg_margin": 0.7}),
        "soft_triple": (
            pl.SoftTripleLoss(
                **OWN, centers_per_class=2, gamma=0.3, weight_regularizer=pg.SparseCentersRegularizer(4, 2)
            ),
            {
                **OWN,
                "centers_per_class": 2,
                "gamma": 0.3,
                "weight_regularizer": {"name": "sparse_centers", "num_classes": 4, "centers_per_class": 2},
            },
        ),
        "sphereface": (pl.SphereFaceLoss(**OWN, scale=2), {**OWN, "scale": 2}),
        "subcenter_arcface": (pl.SubCenterArcFaceLoss(**OWN, sub_centers=2), {**OWN, "sub_centers": 2}),
        "supcon": (
            pl.SupConLoss(0.5, distance=pd.LpDistance(p=1)),
            {"temperature": 0.5, "distance": {"name": "lp", "p": 1}},
        ),
        "triplet_margin": (
            pl.TripletMarginLoss(0.3, smooth_loss=True, reducer=pr.ThresholdReducer(high=0.9)),
            {"margin": 0.3, "smooth": True, "reducer": {"name": "threshold", "high": 0.9}},
        ),
        "tuplet_margin": (pl.TupletMarginLoss(margin=9, scale=8), {"margin": 9.0, "scale": 8}),
        "vicreg": (pl.VICRegLoss(eps=0.01, reducer=pr.MeanReducer()), {"eps": 0.01}),
        "dynamic_soft_margin": (pl.DynamicSoftMarginLoss(num_bins=7), {"num_bins": 7}),
        "instance": (pl.InstanceLoss(8), {"gamma": 8}),
    }
    newer = {
        "smooth_ap": ("SmoothAPLoss", {"temperature": 0.1}),
        "threshold_consistent_margin": ("ThresholdConsistentMarginLoss", {"margin_plus": 0.8}),
    }
    return found | {
        name: (getattr(pl, cls)(**parameters), parameters)
        for name, (cls, parameters) in newer.items()
        if hasattr(pl, cls)
    }


OTHERWISE = ("dynamic_soft_margin", "instance")
"""Those whose values or gradients differ in every batch."""

VIEWS = ("self_supervised", "vicreg")
TOLERANCES = {"manifold": 1e-4, "ranked_list": 1e-3, "smooth_ap": 1e-5}
"""Of what PML inverts in float32, adds to weights, and sums in float32."""


def rows(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


def call(loss: Any, name: str, x: Tensor, y: Tensor) -> Tensor:
    if name == "self_supervised":
        return loss(x, y)
    if name == "vicreg":
        return loss(x, ref_emb=y)
    if name == "angular":  # which leaves negatives as they are
        return loss(nn.functional.normalize(x), LABELS)
    return loss(x, indices_tuple=LABELS) if name == "manifold" else loss(x, LABELS)


def results(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [value.detach().reshape(()), *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("name", NAMES)
def test_specs_are_short_and_complete(name: str) -> None:
    loss, parameters = losses()[name]
    found = to_spec(loss)
    assert found == {"version": 1, "loss": {"name": name, **parameters} if parameters else name}
    assert not metricreg.validate(found)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERWISE])
def test_values_and_gradients_are_the_same_in_every_step(name: str) -> None:
    loss = losses()[name][0].double()
    objective = metricreg.build(to_spec(loss)).double()
    load_state(objective, loss)
    for step in range(3):
        x, y = rows(16, step), rows(16, step + 10)
        leaves = [x, y] if name in VIEWS else [x]
        named = {"ref_embeddings": y} if name in VIEWS else {"labels": LABELS}
        got, want = results(objective(x, **named), leaves), results(call(loss, name, x, y), leaves)
        tolerance = TOLERANCES.get(name, 1e-6)
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance, check_dtype=False)


def test_state_is_loaded_in_the_middle_of_training() -> None:
    memory = pl.CrossBatchMemory(pl.ContrastiveLoss(), SIZE, 24).double()
    margin = pl.MarginLoss(learn_beta=True).double()
    margin.beta.data.fill_(0.7)
    soft = pl.DynamicSoftMarginLoss().double()
    for step in range(4):
        memory(rows(10, step), LABELS[:10])
    soft(rows(16), LABELS)
    ours: Any = metricreg.build(to_spec(soft)).double().loss
    load_state(ours, soft)
    torch.testing.assert_close(ours.histogram[:-1], soft.hist_.detach())
    for loss in (memory, margin, soft):
        count = 10 if loss is memory else 16
        x, specs = rows(count, 7), [to_spec(loss), {"loss": exact(loss)}]
        objectives = [metricreg.build(spec).double() for spec in specs]
        for objective in objectives:
            load_state(objective, loss)
        want = loss(x, LABELS[:count]).reshape(())
        for objective in objectives[loss is soft :]:  # which goes on otherwise
            torch.testing.assert_close(objective(x, LABELS[:count]), want)


def test_pml_components_become_native_one_at_a_time() -> None:
    torch.manual_seed(0)
    first = metricreg.build({"loss": {"name": "pml/arcface", **OWN}, "miner": "pml/multi_similarity"})
    spec = to_spec(first)
    assert spec == {"version": 1, "loss": {"name": "arcface", **OWN}, "miner": "multi_similarity"}
    second = metricreg.build(spec)
    load_state(second, first)
    x = rows(16).detach().float()
    torch.testing.assert_close(second(x, LABELS), first(x, LABELS), rtol=1e-5, atol=1e-5)
    third = metricreg.build({"loss": {"name": "pml/arcface", **OWN}})
    load_state(third, first)
    torch.testing.assert_close(third(x, LABELS), metricreg.Pipeline(first.loss)(x, LABELS))


def test_what_is_in_native_components_becomes_native_too() -> None:
    torch.manual_seed(0)
    memory = {"name": "cross_batch_memory", "embedding_size": SIZE, "memory_size": 40}
    parts = {
        "one": {**memory, "loss": {"name": "pml/contrastive", "distance": "lp"}},
        "two": {"name": "pml/arcface", **OWN},
    }
    first = metricreg.build({"loss": {"name": "multiple", "losses": parts, "miners": {"two": "pml/batch_hard"}}})
    for step in range(3):
        first(rows(16, step).detach().float(), LABELS)
    spec = to_spec(first)
    assert spec["loss"] == {
        "name": "multiple",
        "losses": {"one": {**memory, "loss": "contrastive"}, "two": {"name": "arcface", **OWN}},
        "miners": {"two": "batch_hard"},
    }
    second = metricreg.build(spec)
    load_state(second, first)
    x = rows(16, 9).detach().float()
    torch.testing.assert_close(second(x, LABELS), first(x, LABELS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("miner", "spec"),
    [
        (pm.AngularMiner(25), {"name": "angular", "angle": 25.0}),
        (
            pm.BatchEasyHardMiner("hard", "easy"),
            {"name": "batch_easy_hard", "pos_strategy": "hard", "neg_strategy": "easy"},
        ),
        (pm.BatchHardMiner(distance=pd.CosineSimilarity()), {"name": "batch_hard", "distance": "cosine"}),
        (
            pm.BatchHardMiner(allowed_pos_range=(0.1, 1)),
            {
                "name": "batch_easy_hard",
                "pos_strategy": "hard",
                "neg_strategy": "hard",
                "allowed_pos_range": [0.1, 1.0],
            },
        ),
        (pm.DistanceWeightedMiner(cutoff=0.4), {"name": "distance_weighted", "cutoff": 0.4}),
        (pm.EmbeddingsAlreadyPackagedAsTriplets(), {"name": "packaged_triplets"}),
        (pm.HDCMiner(0.25), {"name": "hdc", "filter_percentage": 0.25}),
        (pm.MultiSimilarityMiner(0.2), {"name": "multi_similarity", "epsilon": 0.2}),
        (pm.PairMarginMiner(0.3), {"name": "pair_margin", "pos_margin": 0.3}),
        (pm.TripletMarginMiner(type_of_triplets="hard"), {"name": "triplet_margin", "type_of_triplets": "hard"}),
        (
            pm.UniformHistogramMiner(50, 5, 6),
            {"name": "uniform_histogram", "num_bins": 50, "pos_per_bin": 5, "neg_per_bin": 6},
        ),
        (pd.LpDistance(p=1, power=2), {"name": "lp", "p": 1, "power": 2}),
        (pd.CosineSimilarity(), {"name": "cosine"}),
        (pd.DotProductSimilarity(normalize_embeddings=False, p=1), {"name": "dot_product", "normalize": False}),
        (pd.SNRDistance(), {"name": "snr"}),
        (pr.ClassWeightedReducer(torch.tensor([0.3, 1.0])), {"name": "class_weighted", "weights": [0.3, 1.0]}),
        (
            pr.MultipleReducers({"loss": pr.SumReducer()}, pr.AvgNonZeroReducer()),
            {
                "name": "multiple",
                "reducers": {"loss": "sum"},
                "default": "avg_non_zero",
            },
        ),
        (pr.PerAnchorReducer(pr.SumReducer()), {"name": "per_anchor", "reducer": "sum"}),
        (pr.ThresholdReducer(0.1), {"name": "threshold", "low": 0.1}),
        (pr.AvgNonZeroReducer(), {"name": "avg_non_zero"}),
        (pr.DivisorReducer(), {"name": "divisor"}),
        (pr.DoNothingReducer(), {"name": "do_nothing"}),
        (pg.CenterInvariantRegularizer(), {"name": "center_invariant"}),
        (pg.LpRegularizer(power=2), {"name": "lp", "power": 2}),
        (
            pg.RegularFaceRegularizer(distance=pd.DotProductSimilarity()),
            {"name": "regular_face", "distance": "dot_product"},
        ),
        (pg.RegularFaceRegularizer(), {"name": "regular_face"}),
        (pg.SparseCentersRegularizer(5, 3), {"name": "sparse_centers", "num_classes": 5, "centers_per_class": 3}),
        (pg.ZeroMeanRegularizer(reducer=pr.SumReducer()), {"name": "zero_mean", "reducer": "sum"}),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_other_objects_become_what_stands_in_a_document(miner: Any, spec: dict[str, Any]) -> None:
    assert to_spec(miner) == spec


def test_a_loss_and_its_miner_become_a_document() -> None:
    spec = to_spec(pl.TripletMarginLoss(0.2), miner=pm.TripletMarginMiner(0.1))
    assert spec == {
        "version": 1,
        "loss": {"name": "triplet_margin", "margin": 0.2},
        "miner": {"name": "triplet_margin", "margin": 0.1},
    }
    x = rows(16)
    want = pl.TripletMarginLoss(0.2)(x, LABELS, pm.TripletMarginMiner(0.1)(x, LABELS))
    torch.testing.assert_close(metricreg.build(spec)(x, LABELS), want)


# -- what has no counterpart ------------------------------------------------------------------------------------------


class Mine(pl.TripletMarginLoss):
    """Somebody's own."""


def learned() -> Any:
    loss = pl.NTXentLoss()
    loss.temperature = nn.Parameter(torch.tensor(0.1))
    return loss


@pytest.mark.parametrize(
    ("theirs", "said", "instead"),
    [
        (
            pl.TripletMarginLoss(distance=pd.CosineSimilarity(p=1)),
            "p is 1, and 'cosine' has no such parameter",
            {"name": "triplet_margin", "distance": {"name": "pml/cosine", "p": 1}},
        ),
        (
            pl.CircleLoss(distance=pd.CosineSimilarity(p=1)),
            "p is 1",
            {"name": "pml/circle", "distance": {"name": "pml/cosine", "p": 1}},
        ),
        (pl.NTXentLoss(temperature=0), "greater than 0", {"name": "pml/ntxent", "temperature": 0}),
        (
            pl.VICRegLoss(reducer=pr.SumReducer()),
            "reduces features otherwise",
            {"name": "pml/vicreg", "reducer": "pml/sum"},
        ),
        (
            pl.ArcFaceLoss(
                **OWN,
                weight_regularizer=pg.CenterInvariantRegularizer(
                    distance=pd.LpDistance(p=1, normalize_embeddings=False)
                ),
            ),
            "distance is",
            None,
        ),
    ],
)
def test_without_a_counterpart_the_way_out_is_said_and_taken(theirs: Any, said: str, instead: Any) -> None:
    with pytest.raises(NoCounterpartError, match="(?s)" + said + ".*Keep it as .*'pml/.*fallback=True"):
        to_spec(theirs)
    spec = to_spec(theirs, fallback=True)
    if instead is not None:
        assert spec == {"version": 1, "loss": instead}
    if "temperature" not in str(spec):
        x, y, name = rows(16), rows(16, 1), spec["loss"]["name"]
        objective = metricreg.build(spec).double()
        load_state(objective, theirs.double())
        named = {"ref_embeddings": y} if "vicreg" in name else {"labels": LABELS}
        want = call(theirs, name.removeprefix("pml/"), x, y)
        torch.testing.assert_close(objective(x, **named), want)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (Mine(), "Mine is none of pytorch-metric-learning's components; derive"),
        (nn.Linear(2, 2), "none of pytorch-metric-learning's components"),
        (pl.ContrastiveLoss, "ContrastiveLoss is a class; give an object of it"),
        (None, "NoneType is none of pytorch-metric-learning's components"),
        (learned(), "it learns a number"),
        (pr.PerAnchorReducer(aggregation_func=lambda x, n: x.amax(1)), "aggregation_func of your own"),
    ],
)
def test_what_no_spec_describes_is_refused_whatever_the_fallback(theirs: Any, said: str) -> None:
    for fallback in (False, True):
        with pytest.raises(NoCounterpartError, match=said):
            to_spec(theirs, fallback=fallback)


def test_a_miner_goes_with_a_loss() -> None:
    with pytest.raises(NoCounterpartError, match="a miner goes with a loss, and LpDistance is none"):
        to_spec(pd.LpDistance(), miner=pm.BatchHardMiner())
    with pytest.raises(NoCounterpartError, match="miner= takes a miner, and NTXentLoss is none"):
        to_spec(pl.NTXentLoss(), miner=pl.NTXentLoss())


@pytest.mark.parametrize("number", [np.float32(0.3), torch.tensor(0.3), np.float64(0.3)])
def test_numbers_of_other_types_are_written_as_numbers(number: Any) -> None:
    assert json.dumps(to_spec(pl.NTXentLoss(number))["loss"]) == '{"name": "ntxent", "temperature": 0.3}'


@pytest.mark.parametrize("name", NAMES)
def test_what_falls_back_is_made_anew_as_it_was(name: str) -> None:
    loss = losses()[name][0]
    spec = exact(loss)
    made: Any = metricreg.build({"loss": spec}).loss
    assert type(made.pml) is type(loss)
    assert exact(made.pml) == spec
    if name != "cosface":
        assert to_spec(made) == to_spec(loss)


def test_state_of_another_loss_is_refused() -> None:
    arcface = pl.ArcFaceLoss(**OWN)
    with pytest.raises(metricreg.InputError, match="ContrastiveLoss does not stand for ArcFaceLoss"):
        load_state(metricreg.build({"loss": "contrastive"}), arcface)
    other = metricreg.build({"loss": {"name": "arcface", "num_classes": 5, "embedding_size": SIZE}})
    with pytest.raises(metricreg.InputError, match=r"\[4, 6\], and its place here \[5, 6\]"):
        load_state(other, arcface)


# -- what differs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (pl.AngularLoss(), "AngularLoss: PML leaves negatives unscaled"),
        (pl.CircleLoss(reducer=pr.ClassWeightedReducer(torch.ones(4))), "mean value by the mean weight"),
        (pl.MultipleLosses([pl.NTXentLoss(), pl.SupConLoss()]), "SupConLoss: PML gives 0"),
        (pl.TripletMarginLoss(reducer=pr.PerAnchorReducer()), "PML raises"),
        (pl.TripletMarginLoss(swap=True), "positives for rows of the batch"),
        (pm.BatchEasyHardMiner("all", "hard", (0, 1)), "ignores the allowed range"),
        (pl.NormalizedSoftmaxLoss(**OWN, distance=pd.LpDistance(p=1)), "in the norm of the distance"),
        (pl.ArcFaceLoss(**OWN, weight_init_func=TorchInitWrapper(nn.init.normal_, std=0.1)), "weight_init_func"),
    ],
)
@pytest.mark.filterwarnings("default::metricreg_pml.PMLDifferenceWarning")
def test_differences_are_said(theirs: Any, said: str) -> None:
    with pytest.warns(PMLDifferenceWarning, match=said):
        to_spec(theirs)


@pytest.mark.parametrize("theirs", [pl.ContrastiveLoss(), pl.ArcFaceLoss(**OWN), pm.MultiSimilarityMiner()])
def test_nothing_is_said_where_nothing_differs(theirs: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_spec(theirs)


def test_what_stays_as_it_is_differs_in_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_spec(pl.AngularLoss(alpha=math.inf), fallback=True)


def test_public_names() -> None:
    assert {name for name in metricreg_pml.__all__ if hasattr(metricreg_pml, name)} == set(metricreg_pml.__all__)
