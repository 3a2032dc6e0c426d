"""2,000 random configurations of the catalogue against pytorch-metric-learning, value and gradient.

Each is a spec, built by `metricreg.build`, and a batch; `counterparts.py` says what stands for it in PML, and
`configurations.py` draws it. A configuration has to hold one of these:

1. *Equal.* In float32 value and gradients (of embeddings, references, class vectors) differ by at most 1e-5 of the
   largest entry of each.
2. *Rounding.* Else both are evaluated in float64, as arbiter. They agree there to 1e-8, and mine the same; and our
   float32 is no farther from that than 1e-5, or than PML's float32, or than what is known of the resolution of a Gram
   matrix (tests/distances/test_lp.py) or than four roundings of values of order 1. These are few.
3. *Named.* A difference of `named_differences.py` applies, which a test in test_differences.py shows. What is outside of
   every predicate has to be equal; each difference is rare, and has an example that it alone explains.

To replay a failure: `Evaluation(draw("arcface", 17), torch.float32).ours()`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache

import pytest
import torch

from tests.checks import record, shipped
from tests.parity.configurations import EXACT, TOLERANCE, Configuration, Evaluation, distance_between, draw
from tests.parity.counterparts import COUNTERPARTS, LOSSES
from tests.parity.named_differences import DIFFERENCES, Difference

COUNT = 2000
EACH = {name: COUNT // len(LOSSES) + (i < COUNT % len(LOSSES)) for i, name in enumerate(LOSSES)}

NONE = ("adaface", "barlow_twins", "curricularface", "decoupled_contrastive", "dynamic_arcface", "multi_supcon")
NONE += ("recall_at_k", "selectively_contrastive_triplet", "siglip")
NOT_COMPARED: dict[str, dict[str, str]] = {
    "distance": {"mahalanobis": "PML has none"},
    "reducer": {},
    "regularizer": dict.fromkeys(("l1", "l1_l2", "l2", "orthogonal", "spherical_embedding"), "PML has none"),
    "loss": dict.fromkeys(NONE, "PML has none")
    | {"multiple": "a sum of others; see tests/losses/test_multiple.py"}
    | dict.fromkeys(("cross_batch_memory", "self_supervised"), "called otherwise; see test_wrappers.py")
    | dict.fromkeys(("dynamic_soft_margin", "manifold", "vicreg"), "called otherwise; see test_losses.py"),
    "miner": {"packaged_triplets": "for batches of triplets; see tests/miners/test_packaged_triplets.py"},
}
"""Components that random configurations do not hold, and why."""


@dataclass(frozen=True)
class Verdict:
    """What came of a configuration.

    Args:
        configuration: the configuration.
        kind: `equal`, `rounding`, `named` or `wrong`.
        names: the named differences that apply.
        equal: whether the results are equal, or differ by rounding.
        said: what is wrong.
    """

    configuration: Configuration
    kind: str
    names: tuple[str, ...] = ()
    equal: bool = True
    said: str = ""


def judge(configuration: Configuration) -> Verdict:
    """Evaluate a configuration in both libraries."""
    single, double = Evaluation(configuration, torch.float32), Evaluation(configuration, torch.float64)
    named = [difference for difference in DIFFERENCES if difference.applies(double)]
    ours = single.ours()
    if not all(part.isfinite().all() for part in ours):
        return Verdict(configuration, "wrong", said="ours is not finite")
    try:
        theirs = single.pml()
        off = distance_between(ours, theirs)
        if off <= TOLERANCE and single.same_tuples():
            return Verdict(configuration, "named" if named else "equal", tuple(d.name for d in named))
        said = _more_than_rounding(single, double)
    except Exception as error:  # whatever PML raises
        if not named:
            raise
        said, off = f"PML raises {error!r}", math.inf
    if named:
        bound = max(difference.within(double) for difference in named)
        kind = "named" if not said or bound == math.inf or off <= bound else "wrong"
        return Verdict(
            configuration, kind, tuple(d.name for d in named), not said, f"off by {off:.1e}, not {bound:.1e}"
        )
    return Verdict(configuration, "wrong" if said else "rounding", said=said)


def _more_than_rounding(single: Evaluation, double: Evaluation) -> str:
    """What is different in float64; nothing if the difference in float32 is rounding."""
    if not double.same_tuples():
        return "other tuples are mined"
    exact, theirs = double.ours(), double.pml()
    off = distance_between(exact, theirs)
    if off > EXACT:
        return f"off by {off:.1e} in float64: {float(exact[0]):.6g}, PML {float(theirs[0]):.6g}"
    if not single.same_tuples():
        return ""  # a pair at the very threshold of a miner
    one = float(torch.finfo(torch.float32).eps)
    mine = distance_between(single.ours(), exact, least=4 * one / TOLERANCE)
    allowed = max(TOLERANCE, distance_between(single.pml(), exact), double.resolution())
    return "" if mine <= allowed else f"right in float64, and off by {mine:.1e} in float32, not {allowed:.1e}"


@cache
def verdicts(name: str) -> list[Verdict]:
    return [judge(draw(name, index)) for index in range(EACH[name])]


pytestmark = [
    pytest.mark.filterwarnings("ignore::metricreg.NothingToLearnWarning"),  # batches of all sorts
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # scipy, of PML's large margins
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
]


@pytest.mark.checks("PML", "loss")
@pytest.mark.parametrize("name", LOSSES)
def test_random_configurations_agree(name: str) -> None:
    wrong = [f"{i}: {v.said}\n    {v.configuration}" for i, v in enumerate(verdicts(name)) if v.kind == "wrong"]
    assert not wrong, f"{len(wrong)} configurations of {name}:\n" + "\n".join(wrong)


@pytest.fixture(scope="module")
def every() -> list[Verdict]:
    return [verdict for name in LOSSES for verdict in verdicts(name)]


def test_most_are_equal_and_few_are_rounding(every: list[Verdict]) -> None:
    counts = Counter(v.kind for v in every)
    assert len(every) == COUNT
    assert counts["equal"] >= 0.75 * COUNT
    assert counts["rounding"] <= 0.03 * COUNT


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_named_difference_is_needed_and_rare(difference: Difference, every: list[Verdict]) -> None:
    found = judge(draw(*difference.example))
    others = [
        f"({v.configuration.name!r}, {i})"
        for name in LOSSES
        for i, v in enumerate(verdicts(name))
        if v.names == (difference.name,) and not v.equal
    ]
    assert found.names == (difference.name,), f"another example: {', '.join(others)}"
    assert not found.equal, f"another example: {', '.join(others)}"
    assert sum(difference.name in v.names for v in every) <= 0.03 * COUNT


def test_what_differences_apply_to_mostly_differs(every: list[Verdict]) -> None:
    named = [v for v in every if v.kind == "named"]
    assert len(named) <= 0.25 * COUNT
    assert sum(not v.equal for v in named) >= 0.6 * len(named)


def test_each_component_that_pml_has_is_drawn(every: list[Verdict]) -> None:
    text = "".join(str(v.configuration) for v in every if v.kind in ("equal", "rounding"))
    for kind, entries in COUNTERPARTS.items():
        assert entries.keys() | NOT_COMPARED[kind].keys() == set(shipped(kind))
        assert not entries.keys() & NOT_COMPARED[kind].keys()
        assert not [name for name in entries if f'"name": "{name}"' not in text]
        for name in entries:
            record(kind, name, "PML")
        for name, why in NOT_COMPARED[kind].items():
            if "has none" in why:
                record(kind, name, "PML", "none there")
            elif "called otherwise" in why:
                record(kind, name, "PML")


def test_every_sort_of_batch_is_drawn(every: list[Verdict]) -> None:
    drawn = [v.configuration for v in every if v.kind in ("equal", "rounding")]
    share = {
        "references": sum(c.ref_labels is not None for c in drawn),
        "a miner": sum("miner" in c.spec for c in drawn),
        "listed tuples": sum(c.tuples is not None for c in drawn),
        "neither": sum(c.tuples is None and "miner" not in c.spec for c in drawn),
        "negative labels": sum(min(c.labels) < 0 for c in drawn),
        "labels of more than 32 bits": sum(max(map(abs, c.labels)) > 2**32 for c in drawn),
        "singletons": sum(min(Counter(c.labels).values()) == 1 for c in drawn),
        "tiles": sum(c.spec["execution"]["plan"] == "tiled" for c in drawn),
        "penalties": sum("regularizer" in str(c) for c in drawn),
    }
    assert min(share.values()) > 80, share
