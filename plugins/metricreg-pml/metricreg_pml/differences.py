"""What a spec of metricreg's own components does otherwise than the object of pytorch-metric-learning it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from metricreg_pml.arguments import has_own_init


class PMLDifferenceWarning(UserWarning):
    """A spec made of an object of pytorch-metric-learning differs from it, where that is wrong."""


COLUMNS_OF_PAIRS = ("AngularLoss", "LiftedStructureLoss", "TupletMarginLoss")
COLUMNS = (*COLUMNS_OF_PAIRS, "CircleLoss", "GeneralizedLiftedStructureLoss", "MultiSimilarityLoss")
TRIPLETS = ("MarginLoss", "TripletMarginLoss")

OF_A_CLASS = {
    "AngularLoss": "PML leaves negatives unscaled, and looks at all, whatever tuples say; here they are unit vectors, "
    "those that are listed",
    "AngularMiner": "PML measures angles of raw embeddings; here of unit embeddings",
    "CrossBatchMemory": "PML fills its memory in evaluation mode too, and compares an anchor of NCALoss with its copy",
    "DistanceWeightedMiner": "PML draws positives with repetitions and loses anchors whose negatives are far; here "
    "each positive pair comes once, and every anchor",
    "DynamicSoftMarginLoss": "PML differentiates through its histogram, which forgets the faster the more triplets "
    "there are",
    "HistogramLoss": "PML leaves out pairs of anchors that lack positives or negatives",
    "InstanceLoss": "PML takes row c of the batch for class c; here a row is compared with those of its own class",
    "LiftedStructureLoss": "with references PML takes negatives of an unrelated anchor; it counts an empty sum as 1",
    "ManifoldLoss": "which proxy is whose is said by labels, not by indices_tuple",
    "NCALoss": "PML gives NaN without positives, 0 for one anchor, and leaves out positives that are far",
    "NPairsLoss": "of tuples PML takes the pair of a class that is listed first; here that of the first anchor",
    "P2SGradLoss": "PML scales its class vectors to unit length in every step; here they stay as they are",
    "ProxyNCALoss": "with tuples PML counts anchors alone, and it leaves out embeddings that are far",
    "RankedListLoss": "PML adds 1e-5 to each weight, so that they add up to less than 1, and leaves out distances of 0",
    "SmoothAPLoss": "PML ranks by place unless labels are sorted and there are as many classes as rows of each",
    "SupConLoss": "PML gives 0 for a batch without negatives",
    "ThresholdConsistentMarginLoss": "with references PML compares the batch with itself",
    "TupletMarginLoss": "PML gives NaN where embeddings are equal",
    "VICRegLoss": "PML gives NaN for one row",
}


def _is(name: str) -> Callable[[Any], bool]:
    """Whether a loss has a reducer of a class, for one of its lists."""
    return lambda theirs: name in {type(part).__name__ for part in theirs.reducer.modules()}


OF_AN_ARGUMENT: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        COLUMNS,
        _is("ClassWeightedReducer"),
        "PML multiplies the mean value by the mean weight; here each value by the weight of its class",
    ),
    (("ProxyAnchorLoss",), _is("ClassWeightedReducer"), "PML weighs proxies by labels of other rows"),
    ((*COLUMNS_OF_PAIRS, *TRIPLETS), _is("PerAnchorReducer"), "PML raises, as PerAnchorReducer does not fit the loss"),
    (
        ("NormalizedSoftmaxLoss",),
        lambda theirs: theirs.distance.p != 2,
        "PML scales class vectors to unit length in the norm of the distance; here in the Euclidean norm",
    ),
    (
        ("TripletMarginLoss",),
        lambda theirs: bool(theirs.swap),
        "with references PML takes positives for rows of the batch where it swaps",
    ),
    (
        ("BatchEasyHardMiner",),
        lambda theirs: any(
            getattr(theirs, f"{sort}_strategy") == "all" and getattr(theirs, f"allowed_{sort}_range") is not None
            for sort in ("pos", "neg")
        ),
        "PML ignores the allowed range of a strategy 'all'",
    ),
)


def differences_of(theirs: Any) -> Iterator[str]:
    """What is done otherwise, a sentence each."""
    name = type(theirs).__name__
    if name in OF_A_CLASS:
        yield f"{name}: {OF_A_CLASS[name]}"
    for classes, applies, said in OF_AN_ARGUMENT:
        if name in classes and applies(theirs):
            yield f"{name}: {said}"
    if has_own_init(theirs):
        yield (
            f"{name}: its weight_init_func has no name in a spec; vectors drawn anew are drawn as by default, and "
            "metricreg_pml.load_state copies those that there are"
        )
