"""Parameters, distances and batches that a loss refuses."""

from __future__ import annotations

from typing import Any

import pytest

from metricreg import InputError, Loss, SpecError, default_registry
from metricreg import losses as L
from tests.losses.cases import CASES
from tests.oracle import DISTANCES, rows


@pytest.mark.parametrize(
    ("name", "distance"), [(name, distance) for name, case in CASES.items() for distance in case.refused]
)
def test_a_distance_that_a_loss_is_not_about_is_refused(name: str, distance: str) -> None:
    with pytest.raises(SpecError, match=CASES[name].refusal):
        CASES[name].make(distance=DISTANCES[distance][0]())


@pytest.mark.parametrize("loss", [L.NPairsLoss(), L.SmoothAPLoss(), L.MarginLoss(num_classes=2)])
def test_tuples_do_not_stand_for_labels_where_classes_count(loss: Loss) -> None:
    with pytest.raises(InputError, match="needs labels"):
        loss(rows(3), tuples=([0], [1], [2]))


NO_DELTA = "is not 2 over a whole number.*; give n_bins alone"
NO_LOSS: list[tuple[str, dict[str, Any], str]] = [
    *(("pnp", wrong, next(iter(wrong))) for wrong in ({"variant": "o"}, {"b": 0.0}, {"alpha": -1.0}, {"anneal": 0.0})),
    ("recall_at_k", {"k": []}, "k"),
    ("recall_at_k", {"k": [0]}, "k"),
    ("recall_at_k", {"k": [1, 2], "k_temperatures": [1.0]}, "k_temperatures has 1 entries for 2 of k; give one each"),
    ("recall_at_k", {"k": [1], "k_temperatures": [0.0]}, "k_temperatures"),
    ("recall_at_k", {"temperature": 0.0}, "temperature"),
    *(
        ("manifold", {"l": 5, "K": 4} | wrong, next(iter(wrong)))
        for wrong in ({"K": 1}, {"l": 0}, {"lambda_c": -1.0}, {"alpha": 1.0}, {"alpha": 0.0}, {"num_classes": 0})
    ),
    *(
        ("cross_batch_memory", {"loss": L.NTXentLoss(), "embedding_size": 4} | {parameter: wrong}, parameter)
        for parameter, wrong in {"embedding_size": 0, "memory_size": 2.5, "warm_up": -1, "label_size": 0}.items()
    ),
    *(("large_margin_softmax", {"num_classes": 4, "embedding_size": 5, "margin": m}, "margin") for m in (0, 33, 1.5)),
    ("histogram", {"n_bins": 0}, "n_bins"),
    ("histogram", {"delta": 0.0}, "delta"),
    ("histogram", {"delta": 3.0}, "delta"),
    ("histogram", {"delta": 0.3}, f"delta=0.3 {NO_DELTA}"),
    ("histogram", {"delta": 1e-308}, f"delta=1e-308 {NO_DELTA}"),
    ("histogram", {"n_bins": 10, "delta": 0.1}, "delta=0.1 is not 2 / n_bins with n_bins=10.*; give n_bins alone"),
    ("dynamic_arcface", {"class_counts": []}, "class_counts"),
    ("dynamic_arcface", {"class_counts": [3, 0]}, "class_counts"),
    (
        "dynamic_arcface",
        {"class_counts": [3], "margin_bounds": (30.0, 20.0)},
        "the lower of margin_bounds, 30.0, is above the upper, 20.0",
    ),
    ("dynamic_arcface", {"class_counts": [3], "margin_bounds": (30.0, 200.0)}, "margin_bounds"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), NO_LOSS)
def test_parameters_that_make_no_loss_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    if name == "dynamic_arcface":
        parameters = parameters | {"embedding_size": 5}
    with pytest.raises(SpecError, match=message):
        default_registry().get("loss", name)(**parameters)
