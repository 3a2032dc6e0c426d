"""What every component that ships does, found in the registry: the conformance kit, and what it leaves to combinations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metricreg
from metricreg import Execution, InputError, SpecError
from metricreg.components.signature import parameters_of
from metricreg.registry import KINDS, default_registry
from metricreg.testing import Check, Example, parametrize_with_checks
from tests.checks import CHECKS, FOLDER, read, record, shipped
from tests.examples import Example as Batched
from tests.examples import example
from tests.oracle import DISTANCES, LOSSES, REDUCERS, assert_close, rows

DENSE, TILED = Execution("dense"), Execution("tiled", tile=3)
EVERY_LOSS = [*shipped("loss"), *(name for name in LOSSES if " " in name)]
"""With parameters that make another loss of it, too; the first word is the name."""
losses = pytest.mark.parametrize("name", EVERY_LOSS)

# -- the conformance kit -------------------------------------------------------------------------------------------------

EXPECTED_FAILURES: dict[str, dict[str, str]] = json.loads(
    (FOLDER / "expected-failures.json").read_text(encoding="utf-8")
)
"""Kind and name → check → why it fails; the documentation is made from it."""
SHIPPED = [
    *(Example(default_registry().get(kind, name), name=f"{kind} {name}") for kind in KINDS for name in shipped(kind)),
    *(Example(LOSSES[name](), name=f"loss {name}") for name in LOSSES if " " in name),
]


def expected(component: Example) -> Mapping[str, str]:
    return EXPECTED_FAILURES.get(repr(component), {})


@parametrize_with_checks(SHIPPED, expected_failures=expected)
def test_what_ships_passes_the_conformance_kit(component: Example, check: Check) -> None:
    if check.name == "is_one_graph":
        pytest.skip("tests/test_compile.py asserts which losses are")
    check(component)


def test_failures_are_expected_of_components_that_ship() -> None:
    assert EXPECTED_FAILURES.keys() <= {repr(component) for component in SHIPPED}


def test_no_loss_that_ships_refuses_a_batch_of_few_rows_or_of_any_classes() -> None:
    for name in EVERY_LOSS:
        case = example(name)
        for count in (0, 1, 2):
            case.first(count).result(DENSE)
        case.labelled(torch.zeros(len(case.x), dtype=torch.long)).result(DENSE)


# -- combinations --------------------------------------------------------------------------------------------------------


@losses
def test_references_are_compared_or_refused(name: str) -> None:
    case = example(name)
    if case.y is None:
        y = rows(7, 2).detach()[:, : case.x.shape[1]].requires_grad_()
        case = Batched(case.loss, case.x, case.labels, y, case.labels[:7])
    try:
        case()
    except InputError as error:
        assert "ref_embeddings" in str(error)  # noqa: PT017
        record("loss", name.split()[0], "references", "refused")
        return
    record("loss", name.split()[0], "references")


@losses
def test_tuples_are_taken_or_refused(name: str) -> None:
    case = example(name)
    for tuples in (([0, 4, 0], [4, 0, 8], [1, 1, 2]), ([0, 4, 0], [4, 0, 4], [0, 1], [1, 2])):
        try:
            case(tuples=tuples)
        except InputError as error:
            assert "tuples" in str(error) or "miner" in str(error)  # noqa: PT017
            record("loss", name.split()[0], "tuples", "refused")
            continue
        record("loss", name.split()[0], "tuples")


def with_slot(name: str, slot: str, value: Any) -> Batched | None:
    """An example with another component in a slot; None where the loss refuses it, or has no such slot."""
    case = example(name)
    if slot not in parameters_of(type(case.loss)):
        record("loss", name.split()[0], f"{slot}s", "none there")
        return None
    given = {key: part for key, part in case.loss.to_spec().items() if key != "name"}
    try:
        loss = metricreg.create("loss", name.split()[0], **given | {slot: value})
    except SpecError:
        return None
    loss.load_state_dict(case.loss.state_dict(), strict=False)
    record("loss", name.split()[0], f"{slot}s", str(value.to_spec()))
    return Batched(loss.train(case.loss.training), case.x, case.labels, case.y, case.ref_labels)


@losses
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_distance_is_refused_or_equal_in_tiles(name: str, distance: str) -> None:
    case = with_slot(name, "distance", DISTANCES[distance][0]())
    if case is not None:
        assert_close(case.result(TILED), case.result(DENSE), 1e-9)


@losses
@pytest.mark.parametrize("reducer", REDUCERS)
def test_every_reducer_is_taken_and_equal_in_tiles(name: str, reducer: str) -> None:
    case = with_slot(name, "reducer", REDUCERS[reducer][0]())
    assert (case is None) == ("reducer" not in parameters_of(default_registry().get("loss", name.split()[0])))
    if case is not None:
        assert_close(case.result(TILED), case.result(DENSE), 1e-9)


def finite(parts: list[Tensor]) -> bool:
    return all(bool(part.isfinite().all()) for part in parts)


@losses
@given(
    count=st.integers(0, 9),
    seed=st.integers(0, 2**31),
    power=st.integers(-4, 4),
    zeros=st.sets(st.integers(0, 8), max_size=3),
    twins=st.sets(st.integers(0, 8), max_size=4),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    tile=st.integers(1, 5),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_any_batch_is_finite(
    name: str, count: int, seed: int, power: int, zeros: set[int], twins: set[int], dtype: torch.dtype, tile: int
) -> None:
    case = example(name)
    classes = case.classes or 4
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, case.x.shape[1], generator=generator, dtype=torch.float64)
    for i in twins:
        x[i : i + 1] = x[:1]
    for i in zeros:
        x[i : i + 1] = 0.0
    labels = torch.randint(classes, (count,), generator=generator)
    x = (x * 10.0 ** (power if dtype is not torch.float16 else power / 2)).to(dtype)
    case = case.first(count).of(x, None if case.y is None else x.flip(0)).labelled(labels)
    for plan in (DENSE, Execution("tiled", tile=tile)):
        total, *gradients = case.result(plan)
        assert total.isfinite()
        if dtype in (torch.float32, torch.float64):  # the slope at a tiny embedding is beyond half precision
            assert finite(gradients)


# -- the table ---------------------------------------------------------------------------------------------------------

EMPTY: dict[str, dict[tuple[str, str], str]] = {
    "distance": {},
    "loss": {
        ("vicreg", "distances"): "it compares rows by definition, with a Euclidean distance",
        ("multiple", "loop"): "a sum: tests/losses/test_multiple.py",
        ("multiple", "PML"): "a sum: tests/losses/test_multiple.py",
    },
    "reducer": {("do_nothing", "loop"): "it returns terms"},
    "regularizer": {},
    "miner": {
        ("angular", "distances"): "it has a distance of its own",
        ("distance_weighted", "distances"): "it has a distance of its own",
        ("distance_weighted", "loop"): "it draws: tests/miners/test_distance_weighted.py",
        **{
            ("packaged_triplets", check): "it looks at nothing: tests/miners/test_packaged_triplets.py"
            for check in ("loop", "PML", "distances")
        },
    },
    "match": {("same_label", "loop"): "it is equality: tests/matches/test_every_match.py"},
}
"""Cells of the table that are empty, and why."""


def test_the_table_has_a_row_for_every_component_and_for_no_other() -> None:
    assert {kind: set(found) for kind, found in read().items()} == {kind: set(shipped(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_no_unknown_check_and_no_empty_cell_without_a_reason(kind: str) -> None:
    found = read()[kind]
    assert {check for cells in found.values() for check in cells} <= CHECKS[kind].keys()
    empty = {(name, check) for name, cells in found.items() for check in CHECKS[kind].keys() - cells.keys()}
    assert empty == EMPTY[kind].keys(), "run the tests with --record-checks; see tests/checks.py"
