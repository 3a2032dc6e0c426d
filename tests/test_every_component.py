"""What every component that ships does, found in the registry, with the inputs that are hard on it."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metricreg
from metricreg import Execution, InputError, SpecError, Term
from metricreg.components.signature import parameters_of
from metricreg.registry import KINDS, default_registry
from tests.checks import CHECKS, read, record, shipped
from tests.examples import Example, component, example
from tests.oracle import (
    DISTANCES,
    LARGE_LABELS,
    LOSSES,
    NO_DERIVATIVE,
    REDUCERS,
    assert_close,
    rows,
    value_and_gradients,
)

DENSE, TILED = Execution("dense"), Execution("tiled", tile=3)
EVERY_LOSS = [*shipped("loss"), *(name for name in LOSSES if " " in name)]
"""With parameters that make another loss of it, too; the first word is the name."""
losses = pytest.mark.parametrize("name", EVERY_LOSS)


def check(name: str, kind: str = "loss") -> Any:
    return pytest.mark.checks(name, kind)


def finite(parts: list[Tensor]) -> bool:
    return all(bool(part.isfinite().all()) for part in parts)


# -- losses ------------------------------------------------------------------------------------------------------------


@check("batches")
@losses
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_batch_of_few_rows_is_finite_and_has_a_graph(name: str, count: int) -> None:
    case = example(name).first(count)
    for plan in (DENSE, TILED):
        total, _ = case(plan)
        assert total.requires_grad
        assert finite(case.result(plan))


@check("batches")
@losses
@pytest.mark.parametrize("distribution", ["one class", "all distinct", "two classes, one a singleton"])
def test_classes_of_any_size_are_finite(name: str, distribution: str) -> None:
    case = example(name)
    count = case.classes or len(case.x)
    labels = {
        "one class": torch.zeros(len(case.x), dtype=torch.long),
        "all distinct": torch.arange(count),
        "two classes, one a singleton": (torch.arange(len(case.x)) == 3).long(),
    }[distribution]
    case = case.first(len(labels)).labelled(labels)
    for plan in (DENSE, TILED):
        assert finite(case.result(plan))


@check("zeros and duplicates")
@losses
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_duplicate_rows_are_finite(name: str, dtype: torch.dtype) -> None:
    case = example(name)
    x = case.x.detach().clone().to(dtype)
    x[1], x[4], x[6], x[7] = x[0], x[0], 0.0, 0.0
    case = case.of(x, None if case.y is None else x.clone())
    for plan in (DENSE, TILED):
        assert finite(case.result(plan))


@check("half")
@losses
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    half = example(name).like(dtype=dtype)
    full = half.like(dtype=torch.float32)
    for plan in (DENSE, TILED):
        got, want = half.result(plan), full.result(plan)
        assert got[0].dtype is torch.float32
        torch.testing.assert_close(got[0], want[0], rtol=0, atol=0)
        for g, w in zip(got[1:], want[1:], strict=True):
            torch.testing.assert_close(g, w.to(g.dtype), rtol=0, atol=0)
        assert got[1].dtype is dtype


@check("autocast")
@losses
def test_autocast_changes_nothing(name: str) -> None:
    case = example(name).like(dtype=torch.float32)
    for plan in (DENSE, TILED):
        want = case.result(plan)
        with torch.autocast("cpu", torch.bfloat16):
            total, loss = case(plan)
        for g, w in zip(value_and_gradients(total, [*case.views, *loss.parameters()]), want, strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=0)


@check("scale")
@losses
@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_scaled_embeddings_are_finite_and_equal_in_tiles(name: str, scale: float) -> None:
    case = example(name)
    case = case.of(case.x.detach() * scale, None if case.y is None else case.y.detach() * scale)
    assert_close(case.result(TILED), case.result(DENSE), 1e-8)
    single = case.like(dtype=torch.float32)
    for plan in (DENSE, TILED):
        assert finite(single.result(plan))


@losses
def test_labels_may_be_any_integers_or_are_refused(name: str) -> None:
    case = example(name).first(len(LARGE_LABELS)).labelled(LARGE_LABELS)
    if case.classes is not None:
        with pytest.raises(InputError, match="labels are 0 to"):
            case()
        record("loss", name.split()[0], "labels", "refused")
        return
    _, small = LARGE_LABELS.unique(return_inverse=True)
    for plan in (DENSE, TILED):
        assert_close(case.result(plan), case.labelled(small).result(plan), 1e-12)
    record("loss", name.split()[0], "labels")


@check("layout")
@losses
def test_the_layout_of_the_embeddings_does_not_matter(name: str) -> None:
    case = example(name)
    want = case.result()
    for lay in (lambda x: x.T.contiguous().T, lambda x: x.repeat_interleave(2, 0)[::2]):
        laid = case.of(lay(case.x.detach()), None if case.y is None else lay(case.y.detach()))
        assert not laid.x.is_contiguous()
        assert_close(laid.result(), want, 1e-12)


@check("NaN")
@losses
def test_a_nan_is_not_hidden(name: str) -> None:
    case = example(name)
    x = case.x.detach().clone()
    x[3, 1] = torch.nan
    case = case.of(x, None if case.y is None else case.y.detach())
    for plan in (DENSE, TILED):
        assert case(plan)[0].isnan()


@check("tiles")
@losses
def test_tiles_are_equal_to_the_dense_plan(name: str) -> None:
    case = example(name)
    for tile in (1, 4, 100):
        assert_close(case.result(Execution("tiled", tile=tile)), case.result(DENSE), 1e-9)


@losses
def test_references_are_compared_or_refused(name: str) -> None:
    case = example(name)
    if case.y is None:
        y = rows(7, 2).detach()[:, : case.x.shape[1]].requires_grad_()
        case = Example(case.loss, case.x, case.labels, y, case.labels[:7])
    try:
        want = case.result(DENSE)
    except InputError as error:
        assert "ref_embeddings" in str(error)  # noqa: PT017
        record("loss", name.split()[0], "references", "refused")
        return
    assert_close(case.result(TILED), want, 1e-9)
    record("loss", name.split()[0], "references")


@losses
def test_tuples_are_taken_or_refused(name: str) -> None:
    case = example(name)
    for tuples in (([0, 4, 0], [4, 0, 8], [1, 1, 2]), ([0, 4, 0], [4, 0, 4], [0, 1], [1, 2])):
        try:
            want = case.result(DENSE, tuples=tuples)
        except InputError as error:
            assert "tuples" in str(error) or "miner" in str(error)  # noqa: PT017
            record("loss", name.split()[0], "tuples", "refused")
            continue
        assert_close(case.result(TILED, tuples=tuples), want, 1e-9)
        record("loss", name.split()[0], "tuples")


def with_slot(name: str, slot: str, value: Any) -> Example | None:
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
    return Example(loss.train(case.loss.training), case.x, case.labels, case.y, case.ref_labels)


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


@check("gradcheck")
@pytest.mark.parametrize("name", [name for name in shipped("loss") if name not in {*LOSSES, "cross_batch_memory"}])
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    case = example(name).first(6)

    def value(x: Tensor) -> Tensor:
        return Example(case.loss.double(), x, case.labels, case.y, case.ref_labels)(DENSE)[0]

    assert torch.autograd.gradcheck(value, (case.x,))


@check("copies")
@losses
def test_copies_and_loaded_states_are_the_same_loss(name: str) -> None:
    case = example(name)
    want = case.result()
    stored = io.BytesIO()
    torch.save(case.loss.state_dict(), stored)
    stored.seek(0)
    loaded = copy.deepcopy(case.loss)
    for tensor in loaded.state_dict().values():
        tensor.zero_()
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    for loss in (copy.deepcopy(case.loss), pickle.loads(pickle.dumps(case.loss)), loaded):
        same = Example(loss, case.x, case.labels, case.y, case.ref_labels)
        for g, w in zip(same.result(), want, strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=0)


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
        total, gradients = case.result(plan)[0], case.result(plan)[1:]
        assert total.isfinite()
        if dtype in (torch.float32, torch.float64):  # the slope at a tiny embedding is beyond half precision
            assert finite(gradients)


# -- the other kinds ---------------------------------------------------------------------------------------------------

LABELS = {"match": torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0]])}


def applied(kind: str, it: Any, x: Tensor) -> list[Tensor]:
    """What a component that is no loss makes of embeddings `[9, D]`."""
    labels = torch.arange(len(x)) % 2  # 32 and 40 pairs, whose halves part no pair from the same one turned round
    if kind == "distance":
        return [it(x)]
    if kind == "regularizer":
        return [it(x)]
    if kind == "reducer":
        term = Term(x.abs(), divisor=torch.ones(len(x), dtype=torch.long)).bind("pos_loss", len(x), labels % 1)
        found = it(term)
        return [found.values if isinstance(found, Term) else found]
    if kind == "miner":
        torch.manual_seed(0)
        return list(it(x, labels).columns())
    sets = (x[:, :3] > 0).long()
    return list(it.related(sets if not it.is_equality else sets[:, 0], sets if not it.is_equality else sets[:, 0]))


def embeddings(it: Any) -> Tensor:
    count = 9 if not hasattr(it, "centers_per_class") else it.num_classes * it.centers_per_class
    return rows(count).detach()[:, : getattr(it, "embedding_size", 5)]


others = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS if kind != "loss" for name in shipped(kind)]
)


@others
def test_copies_and_loaded_states_are_the_same_component(kind: str, name: str) -> None:
    it = component(kind, name)
    want = applied(kind, it, embeddings(it))
    loaded = copy.deepcopy(it)
    for tensor in loaded.state_dict().values():
        tensor.zero_()
    loaded.load_state_dict(it.state_dict())
    for same in (copy.deepcopy(it), pickle.loads(pickle.dumps(it)), loaded):
        for g, w in zip(applied(kind, same, embeddings(it)), want, strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=0)
    record(kind, name, "copies")


@others
def test_the_layout_of_what_a_component_sees_does_not_matter(kind: str, name: str) -> None:
    it = component(kind, name)
    x = embeddings(it)
    want = applied(kind, it, x)
    for laid in (x.T.contiguous().T, x.repeat_interleave(2, 0)[::2]):
        assert not laid.is_contiguous()
        for g, w in zip(applied(kind, it, laid), want, strict=True):
            torch.testing.assert_close(g, w, rtol=1e-12, atol=1e-12)
    record(kind, name, "layout")


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("distance", "regularizer", "miner") for name in shipped(kind)]
)
@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_scaled_embeddings_are_finite(kind: str, name: str, scale: float) -> None:
    it = component(kind, name)
    for dtype in (torch.float32, torch.float64):
        x = (embeddings(it) * scale).to(dtype).requires_grad_()
        found = applied(kind, it, x)
        assert finite(found)
        if kind != "miner":
            assert finite(list(torch.autograd.grad(found[0].sum(), x)))
    record(kind, name, "scale")


# -- the table ---------------------------------------------------------------------------------------------------------

EMPTY: dict[str, dict[tuple[str, str], str]] = {
    "distance": {},
    "loss": {
        ("cross_batch_memory", "gradcheck"): "by definition its memory has no gradient",
        ("vicreg", "distances"): "it compares rows by definition, with a Euclidean distance",
        ("dynamic_soft_margin", "gradcheck"): "by definition its gradient is not that of its value",
        ("circle", "gradcheck"): "by definition its gradient is not that of its value",
        ("multiple", "loop"): "a sum: tests/losses/test_multiple.py",
        ("multiple", "PML"): "a sum: tests/losses/test_multiple.py",
    },
    "reducer": {("do_nothing", check): "it returns terms" for check in ("loop", "NaN", "tiles")},
    "regularizer": {("sparse_centers", "batches"): "it wants as many rows as there are centers"},
    "miner": {
        ("angular", "distances"): "it has a distance of its own",
        ("distance_weighted", "distances"): "it has a distance of its own",
        ("distance_weighted", "loop"): "it draws: tests/miners/test_distance_weighted.py",
        ("distance_weighted", "tiles"): "it draws: tests/miners/test_distance_weighted.py",
        **{
            ("packaged_triplets", check): "it looks at nothing: tests/miners/test_packaged_triplets.py"
            for check in ("loop", "PML", "tiles", "distances", "batches", "labels", "half", "NaN")
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


def test_the_loss_without_a_gradient_to_check_is_that_without_a_derivative() -> None:
    unchecked = {name for name, check in EMPTY["loss"] if check == "gradcheck"}
    assert unchecked == {name.split()[0] for name in NO_DERIVATIVE} | {"cross_batch_memory"}
