"""The conformance kit, and what pytorch-metric-learning does otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from metricreg_pml import catalogue

import metricreg
from metricreg.testing import parametrize_with_checks

PARAMETERS: dict[str, dict[str, Any]] = {
    "CrossBatchMemory": {"loss": "pml/contrastive", "embedding_size": 5, "memory_size": 64},
    "SelfSupervisedLoss": {"loss": "pml/ntxent"},
}
NOT_FINITE = "is not finite for a row that is zero, or one like another"
BY_PLACE = "goes by the places of rows"
DETACHED = "leaves a part of the gradient out"
OTHER_LOSSES = dict.fromkeys(("fits_its_schema", "runs_on_the_meta_device"), "is tried with a loss of metricreg's own")
EXPECTED: dict[str, dict[str, str]] = {
    "CircleLoss": {"has_the_right_gradient": "as in the paper, weights have no gradient"},
    "ClassWeightedReducer": {"is_pure": "casts its weights"},
    "CrossBatchMemory": {
        "compares_with_what_it_says": "references enter the memory",
        "has_the_right_gradient": "no gradient passes through the memory",
        **OTHER_LOSSES,
    },
    "DivisorReducer": {"is_pure": "notes the last divisor"},
    "InstanceLoss": {"ignores_the_order_of_rows": BY_PLACE},
    "ManifoldLoss": {
        "has_the_right_gradient": "inverts in float32",
        "ignores_the_order_of_rows": "inverts in float32",
    },
    "NCALoss": {"bears_any_classes": "NaN without positives", "bears_few_rows": "NaN without positives"},
    "NPairsLoss": {"ignores_the_order_of_rows": BY_PLACE},
    "P2SGradLoss": {
        "bears_zero_and_equal_rows": NOT_FINITE,
        "has_the_right_gradient": "scales its vectors besides",
        "keeps_its_state_in_evaluation": "scales its vectors",
    },
    "PerAnchorReducer": {"reduces_terms_of_every_form": "counts a repeated pair once"},
    "EmbeddingsAlreadyPackagedAsTriplets": {"ignores_the_order_of_rows": BY_PLACE},
    "SNRDistance": {"bears_zero_and_equal_rows": NOT_FINITE},
    "SelfSupervisedLoss": OTHER_LOSSES,
    "SignalToNoiseRatioContrastiveLoss": {"bears_zero_and_equal_rows": NOT_FINITE},
    "SmoothAPLoss": {"has_the_right_gradient": DETACHED},
    "SparseCentersRegularizer": {
        "bears_zero_and_equal_rows": NOT_FINITE,
        "ignores_the_order_of_rows": BY_PLACE,
        "is_pure": "its reducer notes the last divisor",
    },
    "TupletMarginLoss": {"bears_zero_and_equal_rows": NOT_FINITE},
    "VICRegLoss": {"bears_few_rows": "NaN for one row"},
}
"""Class → what it fails → why."""


def examples() -> list[Any]:
    registry = metricreg.default_registry()
    found = []
    for kind in catalogue.MODULES:
        for name, cls in catalogue.components(kind).items():
            component = registry.get(kind, f"pml/{name}")
            found.append(metricreg.create(kind, f"pml/{name}", **PARAMETERS[cls]) if cls in PARAMETERS else component)
    return found


def expected(example: Any) -> dict[str, str]:
    return EXPECTED.get(example.cls.__name__.removeprefix(catalogue.PREFIX), {})


@parametrize_with_checks(examples(), expected_failures=expected)
def test_every_component_keeps_its_promises(component: Any, check: Any) -> None:
    if check.name == "is_one_graph":
        pytest.skip("pytorch-metric-learning is not for a compiler")
    check(component)
