"""What stands for each component in pytorch-metric-learning, and the ranges to draw its parameters from.

One entry a component: `Counterpart(class, {parameter: draw}, ...)`. A parameter that is drawn as None is left out, and
so is a parameter that stands here under no name. `in_pml(kind, spec)` builds the PML object that a spec means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from pytorch_metric_learning import distances as pd
from pytorch_metric_learning import losses as pl
from pytorch_metric_learning import miners as pm
from pytorch_metric_learning import reducers as pr
from pytorch_metric_learning import regularizers as pg
from torch import Tensor, nn

from metricreg import create


@dataclass(frozen=True)
class Drawing:
    """What parameters are drawn from: random numbers, and the numbers of classes C and of features D."""

    random: Random
    classes: int
    size: int

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self.random.random() < p


Draw = Callable[[Drawing], Any]


def between(low: float, high: float) -> Draw:
    """A number of three digits."""
    return lambda d: round(d.random.uniform(low, high), 3)


def whole(low: int, high: int) -> Draw:
    """An integer, both ends included."""
    return lambda d: d.random.randint(low, high)


def one_of(*values: Any) -> Draw:
    """One of some values."""
    return lambda d: d.random.choice(values)


def perhaps(draw: Draw, p: float = 0.5) -> Draw:
    """Left out with probability 1 - p."""
    return lambda d: draw(d) if d.chance(p) else None


def a(kind: str, *names: str, p: float = 1.0) -> Draw:
    """The spec of a component, one of the named; left out with probability 1 - p."""
    return lambda d: drawn(kind, d.random.choice(names), d) if d.chance(p) else None


@dataclass(frozen=True)
class Counterpart:
    """What stands for a component in PML.

    Args:
        make: the class, or a function of its keywords.
        draws: what to draw each parameter from.
        renamed: our name of a parameter to PML's, where they differ.
        distances: those that both libraries can use with it, drawn for its slot; none if it has no choice.
        reducers: likewise. A loss's own default is always among them.
        terms: the names of a loss's terms.
        classes: whether labels have to be the classes 0 to C - 1.
        references: whether PML takes a separate reference set.
        tuples: whether PML takes tuples and miners.
        labels: the distribution that labels are drawn from, where it matters; see `configurations.LABELS`.
        columns: whether PML keeps class vectors as columns.
    """

    make: Callable[..., Any]
    draws: Mapping[str, Draw] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    distances: tuple[str, ...] = ()
    reducers: tuple[str, ...] = ()
    terms: tuple[str, ...] = ("loss",)
    classes: bool = False
    references: bool = True
    tuples: bool = True
    labels: tuple[str, ...] = ()
    columns: bool = False


def drawn(kind: str, name: str, drawing: Drawing) -> dict[str, Any]:
    """The spec of a component, with parameters drawn at random."""
    found = {key: draw(drawing) for key, draw in COUNTERPARTS[kind][name].draws.items()}
    return {"name": name} | {key: value for key, value in found.items() if value is not None}


KINDS = {
    "distance": "distance",
    "reducer": "reducer",
    "default": "reducer",
    "embedding_regularizer": "regularizer",
    "weight_regularizer": "regularizer",
    "miner": "miner",
    "loss": "loss",
}
"""Which kind of component a parameter holds."""


def built(kind: str, spec: Mapping[str, Any]) -> Any:
    """Our component that a spec means."""
    return create(kind, spec["name"], **{key: value for key, value in spec.items() if key != "name"})


def in_pml(kind: str, spec: Any) -> Any:
    """The PML object that a spec means."""
    spec = {"name": spec} if isinstance(spec, str) else dict(spec)
    entry = COUNTERPARTS[kind][spec.pop("name")]
    keywords = {key: in_pml(KINDS[key], value) if key in KINDS else value for key, value in spec.items()}
    return entry.make(**{entry.renamed.get(key, key): value for key, value in keywords.items()})


# -- distances, reducers, regularizers ---------------------------------------------------------------------------------

NORMALIZE = {"normalize": perhaps(one_of(True, False))}
NORMALIZED = {"normalize": "normalize_embeddings"}

DISTANCES = {
    "cosine": Counterpart(pd.CosineSimilarity, {"power": perhaps(whole(1, 3), 0.3)}),
    "dot_product": Counterpart(pd.DotProductSimilarity, NORMALIZE | {"power": perhaps(whole(1, 3), 0.2)}, NORMALIZED),
    "lp": Counterpart(
        pd.LpDistance, NORMALIZE | {"p": perhaps(one_of(1, 2, 3, 1.5)), "power": perhaps(one_of(1, 2, 1.5))}, NORMALIZED
    ),
    "snr": Counterpart(pd.SNRDistance, NORMALIZE, NORMALIZED),
}


def _aggregated(x: Tensor, count: Tensor) -> Tensor:
    return x.sum(1)


def _per_anchor(aggregation: str = "mean", **keywords: Any) -> Any:
    return pr.PerAnchorReducer(**keywords, **({"aggregation_func": _aggregated} if aggregation == "sum" else {}))


def _multiple(reducers: dict[str, Any], default_reducer: Any = None) -> Any:
    return pr.MultipleReducers({name: in_pml("reducer", spec) for name, spec in reducers.items()}, default_reducer)


SIMPLE = ("mean", "sum", "avg_non_zero", "threshold")
REDUCERS = {
    "avg_non_zero": Counterpart(pr.AvgNonZeroReducer),
    "class_weighted": Counterpart(
        lambda weights: pr.ClassWeightedReducer(torch.tensor(weights)),
        {"weights": lambda d: [between(0.1, 3.0)(d) for _ in range(d.classes)]},
    ),
    "divisor": Counterpart(pr.DivisorReducer),
    "do_nothing": Counterpart(pr.DoNothingReducer),
    "mean": Counterpart(pr.MeanReducer),
    "multiple": Counterpart(_multiple, {"default": a("reducer", *SIMPLE, p=0.7)}, {"default": "default_reducer"}),
    "per_anchor": Counterpart(
        _per_anchor, {"reducer": a("reducer", *SIMPLE, p=0.3), "aggregation": perhaps(one_of("mean", "sum"))}
    ),
    "sum": Counterpart(pr.SumReducer),
    "threshold": Counterpart(pr.ThresholdReducer, {"low": between(0.0, 0.3), "high": perhaps(between(0.4, 2.0))}),
}
REGULARIZERS = {
    "center_invariant": Counterpart(pg.CenterInvariantRegularizer),
    "lp": Counterpart(pg.LpRegularizer, {"p": perhaps(one_of(1, 2, 3)), "power": perhaps(one_of(1, 2))}),
    "regular_face": Counterpart(pg.RegularFaceRegularizer, {"distance": a("distance", "cosine", "dot_product", p=0.3)}),
    "sparse_centers": Counterpart(
        pg.SparseCentersRegularizer,
        {"num_classes": lambda d: d.classes},  # and as many centers as the loss has
    ),
    "zero_mean": Counterpart(pg.ZeroMeanRegularizer, {"reducer": a("reducer", "mean", "sum", "threshold", p=0.3)}),
}

# -- losses ------------------------------------------------------------------------------------------------------------

ANY = ("cosine", "dot_product", "lp", "snr")
LENGTHS = ("lp", "snr")
SIMILARITIES = ("cosine", "dot_product")
ALL_REDUCERS = (*SIMPLE, "class_weighted", "per_anchor", "multiple", "do_nothing")


def pairs(make: Any, draws: Mapping[str, Draw] | None = None, **keywords: Any) -> Counterpart:
    """A loss on pairs or triplets, for any distance and reducer unless said otherwise."""
    return Counterpart(make, draws or {}, **{"distances": ANY, "reducers": ALL_REDUCERS} | keywords)


def proxies(make: Any, draws: Mapping[str, Draw], **keywords: Any) -> Counterpart:
    """A loss with class vectors."""
    own = {
        "num_classes": lambda d: d.classes,
        "embedding_size": lambda d: d.size,
        "weight_regularizer": a("regularizer", "center_invariant", "lp", "regular_face", "zero_mean", p=0.2),
        "weight_reg_weight": perhaps(between(0.1, 2.0), 0.3),
    }
    given = {"classes": True, "references": False, "columns": True, "reducers": ALL_REDUCERS}
    return Counterpart(make, own | draws, **given | keywords)


class OfUnitRows(nn.Module):
    """PML's angular loss normalises all but the negatives; see test_differences.py. The penalty is on raw rows."""

    def __init__(self, embedding_regularizer: Any = None, embedding_reg_weight: float = 1.0, **keywords: Any) -> None:
        super().__init__()
        self.loss = pl.AngularLoss(**keywords)
        self.penalty = embedding_regularizer
        self.factor = embedding_reg_weight

    def forward(self, x: Tensor, labels: Tensor, tuples: Any, y: Tensor | None, ref_labels: Tensor | None) -> Any:
        unit = None if y is None else nn.functional.normalize(y)
        total = self.loss(nn.functional.normalize(x), labels, tuples, unit, ref_labels)
        if self.penalty is None:
            return total
        penalty = self.factor * self.penalty(x)
        return total | {"embedding_reg_loss": {"losses": penalty}} if isinstance(total, dict) else total + penalty


PAIR_MARGINS = {"pos_margin": perhaps(between(0.0, 0.3)), "neg_margin": perhaps(between(0.4, 1.3))}
LOSSES = {
    "angular": pairs(OfUnitRows, {"alpha": perhaps(between(5.0, 60.0), 0.7)}, distances=()),
    "arcface": proxies(
        pl.ArcFaceLoss, {"margin": perhaps(between(0.0, 120.0)), "scale": perhaps(between(1.0, 64.0), 0.8)}
    ),
    "circle": pairs(
        pl.CircleLoss, {"m": perhaps(between(0.0, 0.6)), "gamma": perhaps(between(1.0, 80.0))}, distances=("cosine",)
    ),
    "contrastive": pairs(pl.ContrastiveLoss, PAIR_MARGINS, terms=("pos_loss", "neg_loss")),
    "cosface": proxies(
        pl.CosFaceLoss, {"margin": perhaps(between(0.0, 0.6)), "scale": perhaps(between(1.0, 64.0), 0.8)}
    ),
    "fast_ap": pairs(pl.FastAPLoss, {"num_bins": perhaps(whole(2, 20))}, distances=(), references=False),
    "generalized_lifted_structure": pairs(pl.GeneralizedLiftedStructureLoss, PAIR_MARGINS),
    "histogram": pairs(
        pl.HistogramLoss, {"n_bins": whole(2, 100)}, distances=("cosine",), reducers=(), references=False, tuples=False
    ),
    "instance": pairs(
        pl.InstanceLoss,
        {"gamma": perhaps(between(1.0, 64.0), 0.8)},
        distances=("cosine",),
        labels=("own class",),
        tuples=False,
        references=False,
    ),
    "intra_pair_variance": pairs(
        pl.IntraPairVarianceLoss,
        {"pos_eps": perhaps(between(0.0, 0.3)), "neg_eps": perhaps(between(0.0, 0.3))},
        terms=("pos_loss", "neg_loss"),
    ),
    "large_margin_softmax": proxies(
        pl.LargeMarginSoftmaxLoss, {"margin": perhaps(whole(1, 5)), "scale": perhaps(between(0.2, 3.0))}
    ),
    "lifted_structure": pairs(pl.LiftedStructureLoss, PAIR_MARGINS),
    "margin": pairs(
        pl.MarginLoss,
        {
            "margin": perhaps(between(0.0, 0.5)),
            "nu": perhaps(between(0.0, 1.0)),
            "beta": perhaps(between(0.3, 1.5)),
            "learn_beta": perhaps(one_of(True, False)),
            "num_classes": perhaps(lambda d: d.classes, 0.3),
        },
        terms=("margin_loss",),
        reducers=(*ALL_REDUCERS, "divisor"),
    ),
    "multi_similarity": pairs(
        pl.MultiSimilarityLoss,
        {
            "alpha": perhaps(between(0.5, 5.0)),
            "beta": perhaps(between(1.0, 60.0), 0.7),
            "base": perhaps(between(0.0, 1.0)),
        },
    ),
    "nca": pairs(pl.NCALoss, {"softmax_scale": perhaps(between(0.5, 10.0))}),
    "normalized_softmax": proxies(
        pl.NormalizedSoftmaxLoss, {"temperature": perhaps(between(0.05, 2.0), 0.8)}, distances=ANY
    ),
    "npairs": pairs(pl.NPairsLoss, references=False),
    "ntxent": pairs(pl.NTXentLoss, {"temperature": perhaps(between(0.05, 2.0), 0.8)}),
    "p2s_grad": Counterpart(
        lambda embedding_size, **keywords: pl.P2SGradLoss(descriptors_dim=embedding_size, **keywords),
        {"embedding_size": lambda d: d.size, "num_classes": lambda d: d.classes},
        classes=True,
        references=False,
        tuples=False,
        columns=True,
    ),
    "pnp": pairs(
        pl.PNPLoss,
        {
            "b": perhaps(between(0.5, 3.0)),
            "alpha": perhaps(between(0.5, 4.0)),
            "anneal": perhaps(between(0.01, 0.3)),
            "variant": perhaps(one_of("Ds", "Dq", "Iu", "Ib", "O")),
        },
        distances=("cosine",),
        reducers=(),  # PML's is reduced already
        references=False,
        tuples=False,
    ),
    "proxy_anchor": proxies(
        pl.ProxyAnchorLoss,
        {"margin": perhaps(between(0.0, 0.5)), "alpha": perhaps(between(1.0, 40.0), 0.7)},
        distances=ANY,
        terms=("pos_loss", "neg_loss"),
        reducers=(*ALL_REDUCERS, "divisor"),
        columns=False,
    ),
    "proxy_nca": proxies(pl.ProxyNCALoss, {"softmax_scale": perhaps(between(0.5, 10.0))}, distances=ANY, columns=False),
    "ranked_list": pairs(
        pl.RankedListLoss,
        {
            "margin": between(0.1, 0.8),
            "Tn": between(0.0, 40.0),
            "imbalance": perhaps(between(0.0, 1.0)),
            "alpha": perhaps(between(1.0, 2.0)),
            "Tp": perhaps(between(0.0, 40.0), 0.8),
        },
        distances=LENGTHS,
        references=False,
        tuples=False,
    ),
    "smooth_ap": pairs(
        pl.SmoothAPLoss,
        {"temperature": perhaps(between(0.01, 0.3))},
        distances=(),
        reducers=(),  # PML's is reduced already
        labels=("as many rows as classes",),
        classes=True,
        references=False,
    ),
    "snr_contrastive": pairs(
        pl.SignalToNoiseRatioContrastiveLoss, PAIR_MARGINS, distances=("snr",), terms=("pos_loss", "neg_loss")
    ),
    "soft_triple": proxies(
        pl.SoftTripleLoss,
        {
            "centers_per_class": whole(2, 4),
            "weight_regularizer": a("regularizer", "sparse_centers", "lp", p=0.4),
            "la": perhaps(between(1.0, 30.0)),
            "gamma": perhaps(between(0.05, 1.0)),
            "margin": perhaps(between(0.0, 0.3)),
        },
        distances=SIMILARITIES,
    ),
    "sphereface": proxies(pl.SphereFaceLoss, {"margin": perhaps(whole(1, 5)), "scale": perhaps(between(0.2, 3.0))}),
    "subcenter_arcface": proxies(
        lambda **keywords: pl.SubCenterArcFaceLoss(**keywords),
        {
            "margin": perhaps(between(0.0, 120.0)),
            "scale": perhaps(between(1.0, 64.0), 0.8),
            "sub_centers": perhaps(whole(1, 4)),
        },
    ),
    "supcon": pairs(pl.SupConLoss, {"temperature": perhaps(between(0.05, 2.0), 0.8)}),
    "threshold_consistent_margin": pairs(
        pl.ThresholdConsistentMarginLoss,
        {
            "lambda_plus": perhaps(between(0.1, 2.0)),
            "lambda_minus": perhaps(between(0.1, 2.0)),
            "margin_plus": perhaps(between(0.3, 1.0)),
            "margin_minus": perhaps(between(0.0, 0.6)),
        },
        distances=(),
        reducers=(),
        references=False,
    ),
    "triplet_margin": pairs(
        pl.TripletMarginLoss,
        {
            "margin": perhaps(between(0.0, 0.7)),
            "swap": perhaps(one_of(True, False), 0.4),
            "smooth": perhaps(one_of(True, False), 0.4),
        },
        renamed={"smooth": "smooth_loss"},
    ),
    "tuplet_margin": pairs(
        pl.TupletMarginLoss,
        {"margin": perhaps(between(0.0, 20.0)), "scale": perhaps(between(1.0, 64.0), 0.8)},
        distances=("cosine",),
    ),
}

# -- miners ------------------------------------------------------------------------------------------------------------

TWO = {"distance": a("distance", *ANY, p=0.4)}
RANGES = {
    "allowed_pos_range": perhaps(lambda d: [between(0.0, 0.4)(d), between(1.0, 2.0)(d)], 0.3),
    "allowed_neg_range": perhaps(lambda d: [between(0.0, 0.6)(d), between(1.2, 2.0)(d)], 0.3),
}


def _ranged(allowed_pos_range: Any = None, allowed_neg_range: Any = None, **keywords: Any) -> Any:
    ranges = {"allowed_pos_range": allowed_pos_range, "allowed_neg_range": allowed_neg_range}
    return pm.BatchEasyHardMiner(**{key: value and tuple(value) for key, value in ranges.items()}, **keywords)


MINERS = {
    "angular": Counterpart(pm.AngularMiner, {"angle": perhaps(between(5.0, 60.0))}),
    "batch_easy_hard": Counterpart(
        _ranged,
        {"pos_strategy": one_of("easy", "hard"), "neg_strategy": one_of("easy", "hard", "semihard", "all")}
        | RANGES
        | TWO,
    ),
    "batch_hard": Counterpart(pm.BatchHardMiner, TWO),
    "distance_weighted": Counterpart(
        pm.DistanceWeightedMiner, {"cutoff": perhaps(between(0.2, 0.9)), "nonzero_loss_cutoff": between(1.0, 2.0)}
    ),
    "hdc": Counterpart(pm.HDCMiner, {"filter_percentage": perhaps(between(0.1, 1.0))} | TWO),
    "multi_similarity": Counterpart(pm.MultiSimilarityMiner, {"epsilon": perhaps(between(0.0, 0.5))} | TWO),
    "pair_margin": Counterpart(
        pm.PairMarginMiner, {"pos_margin": perhaps(between(0.1, 0.9)), "neg_margin": perhaps(between(0.5, 1.5))} | TWO
    ),
    "triplet_margin": Counterpart(
        pm.TripletMarginMiner,
        {"margin": perhaps(between(0.0, 0.6)), "type_of_triplets": perhaps(one_of("all", "hard", "semihard", "easy"))}
        | TWO,
    ),
    "uniform_histogram": Counterpart(
        pm.UniformHistogramMiner,
        {"num_bins": whole(2, 20), "pos_per_bin": whole(1, 5), "neg_per_bin": whole(1, 5)} | TWO,
    ),
}

COUNTERPARTS: dict[str, dict[str, Counterpart]] = {
    "distance": DISTANCES,
    "reducer": REDUCERS,
    "regularizer": REGULARIZERS,
    "loss": LOSSES,
    "miner": MINERS,
}
