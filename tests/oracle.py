"""Compares metricreg with the loops of tests/reference: scenarios, pairs of components, and the comparison itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricreg import Distance, Execution, Loss, Reducer, SpecError
from metricreg import distances as D
from metricreg import losses as L
from metricreg import reducers as R
from tests.checks import record
from tests.reference import reducers
from tests.reference.distances import Measure, dot_product_measure, lp_measure, snr_measure
from tests.reference.proxy_losses import Classified
from tests.reference.reducers import Anchors, Values
from tests.reference.selection import Chosen, chosen_of, listed, occurrence_weights

DIM = 5

PLANS = {"dense": Execution("dense")} | {f"tiles of {t}": Execution("tiled", tile=t) for t in (1, 3, 100)}
FEW_PLANS = {name: PLANS[name] for name in ("dense", "tiles of 3")}

DISTANCES: dict[str, tuple[Callable[[], Distance], Measure]] = {
    "lp": (D.LpDistance, lp_measure()),
    "lp p=1": (lambda: D.LpDistance(p=1), lp_measure(p=1.0)),
    "lp p=3 power=2": (lambda: D.LpDistance(p=3, power=2), lp_measure(p=3.0, power=2.0)),
    "lp squared": (lambda: D.LpDistance(power=2), lp_measure(power=2.0)),
    "lp rooted": (lambda: D.LpDistance(power=0.5), lp_measure(power=0.5)),
    "lp raw": (lambda: D.LpDistance(normalize=False), lp_measure(normalize=False)),
    "cosine": (D.CosineSimilarity, dot_product_measure()),
    "dot raw": (lambda: D.DotProductSimilarity(normalize=False), dot_product_measure(normalize=False)),
    "snr": (D.SNRDistance, snr_measure()),
}

Reduce = Callable[[Values, Anchors], Tensor]
WEIGHTS = [0.5, 2.0, 1.25, 1.0]  # exact in float32, as which they are stored

REDUCERS: dict[str, tuple[Callable[[], Reducer], Reduce]] = {
    "mean": (R.MeanReducer, reducers.mean),
    "sum": (R.SumReducer, reducers.sum_),
    "avg_non_zero": (R.AvgNonZeroReducer, reducers.avg_non_zero),
    "threshold low": (lambda: R.ThresholdReducer(low=0.3), partial(reducers.threshold, low=0.3)),
    "threshold high": (lambda: R.ThresholdReducer(high=0.6), partial(reducers.threshold, high=0.6)),
    "threshold both": (lambda: R.ThresholdReducer(low=0.1, high=0.9), partial(reducers.threshold, low=0.1, high=0.9)),
    "class_weighted": (
        lambda: R.ClassWeightedReducer(weights=WEIGHTS),
        partial(reducers.class_weighted, weights=WEIGHTS),
    ),
    "per_anchor": (R.PerAnchorReducer, reducers.per_anchor),
    "per_anchor sum": (
        lambda: R.PerAnchorReducer(R.AvgNonZeroReducer(), aggregation="sum"),
        partial(reducers.per_anchor, aggregation="sum", inner=reducers.avg_non_zero),
    ),
}


def _seeded(loss: Callable[..., Loss], **slots: Any) -> Loss:
    torch.manual_seed(0)
    return loss(num_classes=4, embedding_size=DIM, **slots)


def _settled(loss: Callable[..., Loss], **slots: Any) -> Loss:
    return _seeded(loss, **slots).eval()  # with running state that stays as it is


def _manifold(**slots: Any) -> Loss:
    torch.manual_seed(0)
    return L.ManifoldLoss(DIM, 4, **slots)


def _dynamic_arcface(num_classes: int, **slots: Any) -> Loss:
    return L.DynamicArcFaceLoss(class_counts=[40, 3, 7, 12][:num_classes], **slots)


PAIR_LOSSES: dict[str, Callable[..., Loss]] = {
    "contrastive": L.ContrastiveLoss,
    "triplet_margin": L.TripletMarginLoss,
    "triplet_margin with all its options": lambda **slots: L.TripletMarginLoss(
        **{"margin": 0.7, "swap": True, "smooth": True, "power": 2.0} | slots
    ),
    "ntxent": L.NTXentLoss,
    "supcon": L.SupConLoss,
    "multi_similarity": L.MultiSimilarityLoss,
    "multi_supcon": L.MultiSupConLoss,
    "instance": L.InstanceLoss,
    "circle": L.CircleLoss,
    "nca": L.NCALoss,
    "npairs": L.NPairsLoss,
    "lifted_structure": L.LiftedStructureLoss,
    "generalized_lifted_structure": L.GeneralizedLiftedStructureLoss,
    "tuplet_margin": L.TupletMarginLoss,
    "intra_pair_variance": L.IntraPairVarianceLoss,
    "snr_contrastive": L.SNRContrastiveLoss,
    "fast_ap": L.FastAPLoss,
    "ranked_list": lambda **slots: L.RankedListLoss(**{"margin": 0.5, "Tn": 2.0} | slots),
    "margin": L.MarginLoss,
    "angular": L.AngularLoss,
    "recall_at_k": L.RecallAtKLoss,
    "pnp": L.PNPLoss,
    "smooth_ap": L.SmoothAPLoss,
    "threshold_consistent_margin": L.ThresholdConsistentMarginLoss,
    "histogram": L.HistogramLoss,
    "decoupled_contrastive": L.DecoupledContrastiveLoss,
    "decoupled_contrastive with weights": lambda **slots: L.DecoupledContrastiveLoss(**{"weighting": "vmf"} | slots),
    "siglip": L.SigLIPLoss,
    "dynamic_soft_margin": lambda **slots: L.DynamicSoftMarginLoss(**{"num_bins": 7} | slots).eval(),
    "selectively_contrastive_triplet": L.SelectivelyContrastiveTripletLoss,
}
PROXY_LOSSES: dict[str, Callable[..., Loss]] = {
    "adaface": partial(_settled, L.AdaFaceLoss),
    "arcface": partial(_seeded, L.ArcFaceLoss),
    "cosface": partial(_seeded, L.CosFaceLoss),
    "curricularface": partial(_settled, L.CurricularFaceLoss),
    "dynamic_arcface": partial(_seeded, _dynamic_arcface),
    "large_margin_softmax": partial(_seeded, L.LargeMarginSoftmaxLoss),
    "normalized_softmax": partial(_seeded, L.NormalizedSoftmaxLoss),
    "p2s_grad": partial(_seeded, L.P2SGradLoss),
    "proxy_anchor": partial(_seeded, L.ProxyAnchorLoss),
    "proxy_nca": partial(_seeded, L.ProxyNCALoss),
    "soft_triple": partial(_seeded, L.SoftTripleLoss),
    "sphereface": partial(_seeded, L.SphereFaceLoss),
    "subcenter_arcface": partial(_seeded, L.SubCenterArcFaceLoss),
}
"""Losses with class vectors, for labels 0 to 3."""
VIEW_LOSSES: dict[str, Callable[..., Loss]] = {"barlow_twins": L.BarlowTwinsLoss, "vicreg": L.VICRegLoss}
"""Losses on two views of the same things, which need reference embeddings; see tests/losses/test_view_losses.py."""
LOSSES: dict[str, Callable[..., Loss]] = (
    PAIR_LOSSES
    | PROXY_LOSSES
    | {
        "manifold": _manifold,
        "margin with a boundary a class": lambda **slots: L.MarginLoss(nu=0.3, learn_beta=True, num_classes=4, **slots),
    }
)
"""Every loss on one set of embeddings, from its slots; for labels 0 to 3."""

MAPPED = {"decoupled_contrastive with weights", "lifted_structure", "intra_pair_variance"}
"""Losses that need statistics of other rows: `Batch.map` makes them, in ordinary autograd and tiles of its own."""

UNREDUCED = {"barlow_twins", "histogram", "manifold", "p2s_grad", "threshold_consistent_margin"}
"""Losses that take no reducer: each of their terms makes its value itself."""

AT_ONCE = {"manifold"}
"""Losses that are no sum over anchors: whatever the plan, they are made at once."""

NO_DERIVATIVE = {"circle", "dynamic_soft_margin"}
"""Losses whose gradient is by definition not that of their value: some of their factors count as constants."""


def takes(name: str, distance: str) -> bool:
    """Whether a loss is defined for a distance."""
    try:
        PAIR_LOSSES[name](distance=DISTANCES[distance][0]())
    except SpecError:
        return False
    return True


@dataclass(frozen=True)
class Scenario:
    """What a caller hands to a loss."""

    x: Tensor
    labels: Tensor
    ref: Tensor | None = None
    ref_labels: Tensor | None = None
    tuples: tuple[Tensor, ...] | None = None

    @property
    def references(self) -> Tensor:
        """What the embeddings are compared with."""
        return self.x if self.ref is None else self.ref

    @property
    def chosen(self) -> Chosen:
        """The pairs and triplets that count."""
        if self.tuples is not None:
            return listed(len(self.x), self.tuples)
        return chosen_of(self.labels.tolist(), None if self.ref_labels is None else self.ref_labels.tolist())

    @property
    def anchors(self) -> Anchors:
        """The anchors, as the reference reducers want them."""
        return Anchors(len(self.x), self.labels.tolist())

    @property
    def leaves(self) -> list[Tensor]:
        """What wants a gradient."""
        return [self.x] if self.ref is None else [self.x, self.ref]

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of a loss besides embeddings and labels."""
        return {"ref_embeddings": self.ref, "ref_labels": self.ref_labels, "tuples": self.tuples}


def rows(count: int, seed: int = 0, dtype: torch.dtype = torch.float64, size: int = DIM) -> Tensor:
    """Random embeddings `[count, size]` that want a gradient; not of unit norm."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def batch(labels: Sequence[int], seed: int = 0) -> Scenario:
    """A batch of its own, one row a label."""
    return Scenario(rows(len(labels), seed), torch.tensor(list(labels), dtype=torch.long))


def with_references(labels: Sequence[int], ref_labels: Sequence[int]) -> Scenario:
    """A batch against a separate set."""
    return Scenario(
        rows(len(labels), 1), torch.tensor(list(labels)), rows(len(ref_labels), 2), torch.tensor(list(ref_labels))
    )


def with_tuples(scenario: Scenario, *tuples: Sequence[int]) -> Scenario:
    """The same with listed pairs or triplets."""
    return Scenario(
        scenario.x,
        scenario.labels,
        scenario.ref,
        scenario.ref_labels,
        tuple(torch.tensor(list(column), dtype=torch.long) for column in tuples),
    )


BALANCED = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
PAIRS = ([0, 4, 0, 0, 8, 5], [4, 8, 8, 4, 0, 1], [9, 0, 0, 5, 5, 0], [2, 1, 1, 6, 7, 3])  # (0, 4) and (0, 1) twice
TRIPLETS = ([5, 0, 0, 0, 4, 1], [1, 4, 8, 4, 0, 9], [2, 1, 1, 1, 6, 3])  # (0, 4, 1) twice


def _duplicates() -> Scenario:
    with torch.no_grad():
        x = rows(9, 3)
        x[1], x[2], x[5], x[7] = x[0], x[0], 0.0, 0.0
    return Scenario(x.detach().requires_grad_(), torch.tensor([0, 0, 1, 1, 0, 0, 0, 1, 1]))


def _flat(case: Scenario) -> Scenario:
    """With features that are the same in every row, of one view or of both."""
    views = [case.x.detach(), case.references.detach()]
    for view in views:
        view[:, 1] = 0.1  # whose mean rounds
    views[0][:, 2], views[1][:, 3] = 0.0, 1e4
    return Scenario(views[0].requires_grad_(), case.labels, views[1].requires_grad_(), case.ref_labels)


def _coinciding(case: Scenario) -> Scenario:
    return Scenario(case.x, case.labels, case.x.detach().clone().requires_grad_(), case.labels)


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "balanced": lambda: batch(BALANCED),
    "imbalanced, with singletons": lambda: batch([0, 0, 1, 0, 2, 0, 3, 0, 2, 0]),
    "one class": lambda: batch([2] * 5),
    "all classes distinct": lambda: batch([3, 1, 0, 2]),
    "empty": lambda: batch([]),
    "one row": lambda: batch([1]),
    "two alike": lambda: batch([1, 1]),
    "two unlike": lambda: batch([1, 0]),
    "references": lambda: with_references([0, 1, 2, 0, 3], [1, 0, 0, 2, 1, 3, 3, 0]),
    "one anchor, many references": lambda: with_references([0], [1, 0, 0, 2, 1, 3]),
    "references of other classes": lambda: with_references([0, 1, 0], [2, 3, 2, 3]),
    "no references": lambda: with_references([0, 1, 0], []),
    "pairs": lambda: with_tuples(batch(BALANCED), *PAIRS),
    "triplets": lambda: with_tuples(batch(BALANCED), *TRIPLETS),
    "positive pairs only": lambda: with_tuples(batch(BALANCED), [0, 4], [4, 0], [], []),
    "negative pairs only": lambda: with_tuples(batch(BALANCED), [], [], [0, 4], [1, 1]),
    "no pairs": lambda: with_tuples(batch(BALANCED), [], [], [], []),
    "no triplets": lambda: with_tuples(batch(BALANCED), [], [], []),
    "pairs with references": lambda: with_tuples(
        with_references([0, 1, 2], [0, 1, 0, 2, 1]), [0, 0, 1, 0], [0, 2, 4, 2], [0, 2, 2, 1], [1, 0, 0, 3]
    ),
    "triplets with references": lambda: with_tuples(
        with_references([0, 1, 2], [0, 1, 0, 2, 1]), [0, 2, 0, 0], [0, 3, 2, 2], [1, 4, 3, 3]
    ),
    "duplicate and zero rows": _duplicates,
}

UNSELECTED = [name for name, make in SCENARIOS.items() if make().tuples is None]
"""Those that miners choose from."""

PROXY_SCENARIOS = [name for name in SCENARIOS if "references" not in name]
"""Those that losses with class vectors take."""

VIEWS: dict[str, Callable[[], Scenario]] = {
    "two views": lambda: with_references(BALANCED, BALANCED),
    "two views of few": lambda: with_references([0, 1, 0], [0, 1, 0]),
    "two views of two": lambda: with_references([2, 1], [2, 1]),
    "two views of one": lambda: with_references([1], [1]),
    "two views of nothing": lambda: with_references([], []),
    "features that do not vary": lambda: _flat(with_references(BALANCED, BALANCED)),
    "views that coincide": lambda: _coinciding(batch(BALANCED)),
}
"""Two views of the same things, row by row."""

ANY_DISTANCE = [
    (distance, scenario)
    for distance in DISTANCES
    for scenario in ("balanced", "references", "duplicate and zero rows")
    if (distance, scenario) != ("snr", "duplicate and zero rows")  # a zero anchor has no SNR; see test_snr
]

LARGE_LABELS = torch.tensor([-5, 2**40, -5, 2**31 + 1, 2**40, 2**31 + 1, -(2**40), 2**31])
"""Labels that a cast to float32, int32 or to an index would confuse."""


def value_and_gradients(total: Tensor, leaves: Iterable[Tensor]) -> list[Tensor]:
    """A scalar, and its gradient of each leaf; zeros where there is none."""
    leaves = list(leaves)
    if not total.requires_grad:
        return [total.detach(), *(torch.zeros_like(leaf) for leaf in leaves)]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    pairs = zip(found, leaves, strict=True)
    return [total.detach(), *(torch.zeros_like(leaf) if g is None else g.detach() for g, leaf in pairs)]


def assert_close(got: Sequence[Tensor], want: Sequence[Tensor], tolerance: float, what: str = "") -> None:
    """Each tensor equal to within a part of the largest entry of what is wanted (of 1 if that is smaller by far)."""
    assert len(got) == len(want), what
    for name, g, w in zip(["value", *(f"gradient {i}" for i in range(len(want)))], got, want, strict=False):
        assert g.isfinite().all(), f"{what}: {name} is not finite"
        scale = max(float(w.abs().max()) if w.numel() else 0.0, 1e-4)
        worst = float((g.double() - w.double()).abs().max()) if w.numel() else 0.0
        shown = f"{float(g)} for {float(w)}" if w.ndim == 0 else f"off by {worst / scale:.1e} of {scale:.1e}"
        assert worst <= tolerance * scale, f"{what}: {name} is {shown}"


def entries(columns: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Pairs or triplets in the order of their numbers, of lists of indices."""
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def reduced(terms: dict[str, Values], reduce: Reduce, anchors: Anchors) -> Tensor:
    """The sum of the reduced terms of a reference loss."""
    return reducers.total([reduce(values, anchors) for values in terms.values()])


def check(
    loss: Loss, naive: Callable[[Scenario], Tensor], scenario: Scenario, tolerance: float = 1e-10, plans: Any = PLANS
) -> None:
    """Assert that a loss agrees with a loop in value and in every gradient, in every plan, and has a graph."""
    leaves = [*scenario.leaves, *loss.parameters()]
    want = value_and_gradients(naive(scenario), leaves)
    for name, plan in plans.items():
        total = loss(scenario.x, scenario.labels, **scenario.arguments(), execution=plan)
        assert total.requires_grad, name
        assert total.shape == ()
        assert_close(value_and_gradients(total, leaves), want, tolerance, name)
    _record(loss, scenario)


def _record(loss: Loss, scenario: Scenario) -> None:
    try:
        spec = loss.to_spec()
    except SpecError:  # a test's own loss
        return
    checks = {"loop": ""}
    checks |= {"references": ""} if scenario.ref is not None else {}
    checks |= {"tuples": ""} if scenario.tuples is not None else {}
    checks |= {f"{slot}s": str(spec[slot]) for slot in ("distance", "reducer") if slot in spec}
    for check, what in checks.items():
        record("loss", spec["name"], check, what)


PairLoss = Callable[..., dict[str, Values]]


def pair_loss(formula: PairLoss, measure: Measure, reduce: Reduce, **parameters: Any) -> Callable[[Scenario], Tensor]:
    """The reference of a loss on pairs or triplets."""

    def naive(scenario: Scenario) -> Tensor:
        terms = formula(measure, scenario.x, scenario.references, scenario.chosen, **parameters)
        return reduced(terms, reduce, scenario.anchors)

    return naive


ProxyFormula = Callable[..., dict[str, Values]]


def proxy_loss(
    formula: ProxyFormula,
    proxies: Tensor,
    reduce: Reduce = reducers.mean,
    anchors: Anchors | None = None,
    **parameters: Any,
) -> Callable[[Scenario], Tensor]:
    """The reference of a loss that compares each embedding with class vectors; those are its anchors where given."""

    def naive(scenario: Scenario) -> Tensor:
        labels: list[int] = scenario.labels.tolist()
        weights = occurrence_weights(len(labels), scenario.tuples)
        terms = formula(Classified(scenario.x, proxies, labels, weights), **parameters)
        return reduced(terms, reduce, anchors or scenario.anchors)

    return naive


def row_loss(formula: PairLoss, measure: Measure, reduce: Reduce, **parameters: Any) -> Callable[[Scenario], Tensor]:
    """The reference of a loss on all of the batch, whose values tuples weigh by how often their anchors occur."""

    def naive(scenario: Scenario) -> Tensor:
        tuples, whole = scenario.tuples, Scenario(scenario.x, scenario.labels, scenario.ref, scenario.ref_labels)
        if tuples is not None and scenario.ref is not None:
            tuples = tuples[:1] if len(tuples) == 3 else tuples[0::2]
        weights = occurrence_weights(len(scenario.x), tuples)
        terms = formula(measure, scenario.x, scenario.references, whole.chosen, **parameters)
        weighed = {k: Values([(a, weights[a] * v) for a, v in values.entries]) for k, values in terms.items()}
        return reduced(weighed, reduce, scenario.anchors)

    return naive
