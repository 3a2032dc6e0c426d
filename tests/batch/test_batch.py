"""Batch: what it accepts, and which pairs it says count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricreg import Batch, InputError, MetricregError, Pairs, Triplets
from tests.oracle import DIM, LARGE_LABELS, PAIRS, TRIPLETS, rows, value_and_gradients
from tests.reference.selection import Chosen, chosen_of, listed, occurrence_weights


def counted(chosen: list[list[int]], columns: int) -> list[list[int]]:
    return [[row.count(j) for j in range(columns)] for row in chosen]


def assert_chosen(batch: Batch, want: Chosen) -> None:
    columns = len(batch.references)
    assert batch.positives.long().tolist() == counted(want.positives, columns)
    assert batch.negatives.long().tolist() == counted(want.negatives, columns)
    index, kept = batch.positive_index
    found = [sorted(i[k].tolist()) for i, k in zip(index, kept, strict=True)]
    assert found == [sorted(row) for row in want.positives]


labels_of = st.lists(st.integers(-2, 2), max_size=9)


@given(labels=labels_of, ref_labels=st.none() | labels_of, tile=st.integers(1, 5))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_positives_and_negatives_follow_from_labels(labels: list[int], ref_labels: list[int] | None, tile: int) -> None:
    if ref_labels is None:
        batch = Batch.of(rows(len(labels)), labels)
    else:
        batch = Batch.of(rows(len(labels)), labels, ref_embeddings=rows(len(ref_labels)), ref_labels=ref_labels)
    want = chosen_of(labels, ref_labels)
    assert_chosen(batch, want)
    for i, j in batch.tiles(tile):
        assert_chosen(batch.rows(i, j), Chosen(want.positives[i:j], want.negatives[i:j], []))


@given(
    entries=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)), max_size=10),
    as_pairs=st.booleans(),
    tile=st.integers(1, 5),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_positives_and_negatives_follow_from_tuples(
    entries: list[tuple[int, int, int]], as_pairs: bool, tile: int
) -> None:
    a, p, n = ([e[k] for e in entries] for k in range(3))
    tuples = (a, p, a[::-1], n) if as_pairs else (a, p, n)
    batch = Batch.of(rows(4), tuples=tuples, ref_embeddings=rows(5))
    want = listed(4, tuples)
    assert_chosen(batch, want)
    for i, j in batch.tiles(tile):
        assert_chosen(batch.rows(i, j), Chosen(want.positives[i:j], want.negatives[i:j], []))


def test_labels_are_compared_exactly() -> None:
    batch = Batch.of(rows(len(LARGE_LABELS)), LARGE_LABELS)
    assert_chosen(batch, chosen_of(LARGE_LABELS.tolist()))


def test_labels_of_different_integer_types_meet() -> None:
    batch = Batch.of(
        rows(3), torch.tensor([0, 1, 2], dtype=torch.int16), ref_embeddings=rows(2), ref_labels=torch.tensor([2, 0])
    )
    assert_chosen(batch, chosen_of([0, 1, 2], [2, 0]))


def test_the_very_same_tensor_is_a_comparison_with_itself() -> None:
    x = rows(4)
    for more in ({}, {"ref_labels": [0, 0, 1, 1]}):
        batch = Batch.of(x, [0, 0, 1, 1], ref_embeddings=x, **more)
        assert batch.references is batch.anchors
        assert_chosen(batch, chosen_of([0, 0, 1, 1]))


def test_other_labels_for_the_same_tensor_are_not_ignored() -> None:
    x = rows(3)
    batch = Batch.of(x, [0, 1, 1], ref_embeddings=x, ref_labels=[1, 0, 0])
    assert batch.positives.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


def test_an_equal_tensor_is_a_separate_set() -> None:
    x = rows(3)
    assert Batch.of(x, [0, 1, 1], ref_embeddings=x.clone(), ref_labels=[0, 1, 1]).positives.sum() == 5


def test_a_self_index_may_leave_anchors_out() -> None:
    batch = Batch(
        anchors=rows(3),
        references=rows(4),
        anchor_labels=torch.tensor([0, 0, 1]),
        reference_labels=torch.tensor([0, 0, 1, 1]),
        self_index=torch.tensor([1, -1, 3]),
    )
    assert_chosen(batch, Chosen([[0], [0, 1], [2]], [[2, 3], [2, 3], [0, 1]], []))


def test_tiles_cover_all_anchors_once() -> None:
    assert list(Batch.of(rows(7)).tiles(3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(Batch.of(rows(0)).tiles(3)) == [(0, 0)]


def test_rows_are_views_of_everything_with_a_row_an_anchor() -> None:
    batch = Batch.of(rows(5), [0, 1, 0, 1, 0]).replace(
        per_anchor={"s": torch.arange(5)}, shared={"w": torch.ones(2)}, weights=torch.arange(5.0)
    )
    part = batch.rows(1, 3)
    assert torch.equal(part.anchors, batch.anchors[1:3])
    assert part.references is batch.references
    assert (part.per_anchor["s"].tolist(), part.shared["w"].tolist()) == ([1, 2], [1.0, 1.0])
    assert part.weights is not None
    assert part.weights.tolist() == [1.0, 2.0]


def test_replace_adds_to_what_is_there() -> None:
    batch = Batch.of(rows(2)).replace(per_anchor={"a": torch.zeros(2)}).replace(per_anchor={"b": torch.ones(2)})
    assert set(batch.per_anchor) == {"a", "b"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"per_anchor": {"a": torch.zeros(3)}},
            r"per_anchor\['a'\] of a batch is a tensor \[4, \.\.\.\], .* got a tensor \[3\]",
        ),
        ({"per_anchor": {"a": torch.zeros(())}}, r"per_anchor\['a'\] of a batch .* got a tensor \[\]"),
        ({"per_anchor": {"a": 3.0}}, r"per_anchor\['a'\] of a batch .* got float"),
        ({"shared": {"b": 3.0}}, r"shared\['b'\] of a batch is a tensor; got float"),
    ],
)
def test_what_a_loss_puts_beside_the_anchors_is_checked(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(MetricregError, match=says):
        Batch.of(rows(4)).replace(**changes)


@pytest.mark.parametrize(
    ("own", "labels", "says"),
    [
        (torch.zeros(2, 5), torch.arange(2), r"rows of its own, \[2, 5\]; the embeddings are \[4, 3\]"),
        (torch.zeros(5), torch.arange(5), r"rows of its own, \[5\]; the embeddings are \[4, 3\]"),
        (torch.zeros(2, 3), torch.arange(3), "against got 3 labels for 2 rows"),
        (torch.zeros(2, 3), torch.eye(2).long(), r"whose labels are \[2, 2\]; the labels of the samples are \[4\]"),
    ],
)
def test_rows_of_a_loss_have_to_fit_the_batch(own: Tensor, labels: Tensor, says: str) -> None:
    with pytest.raises(MetricregError, match=says):
        Batch.of(torch.zeros(4, 3), [0, 1, 0, 1]).against(own, labels)


@pytest.mark.parametrize("size", [1, 2, 512])
def test_map_joins_the_runs_and_passes_the_gradient_on(size: int) -> None:
    x = rows(5)
    mapped = Batch.of(x).map(lambda part: (part.anchors @ part.references.T).sum(1, keepdim=True), size=size)
    want = (x @ x.T).sum(1, keepdim=True)
    torch.testing.assert_close(mapped, want)
    got, wanted = value_and_gradients(mapped.exp().sum(), [x]), value_and_gradients(want.exp().sum(), [x])
    torch.testing.assert_close(got[1], wanted[1])


@pytest.mark.parametrize("tuples", [None, PAIRS, TRIPLETS, ([], [], []), ([], [], [], [])])
def test_row_weights_are_relative_occurrences(tuples: Any) -> None:
    weights = Batch.of(rows(10), [0] * 10, tuples=tuples).row_weights()
    if tuples is None:
        assert weights is None
    else:
        assert weights is not None
        assert weights.tolist() == pytest.approx(occurrence_weights(10, tuples))


def test_row_weights_count_anchors_alone_against_references() -> None:
    for tuples in (([0, 0, 1], [1, 1, 0], [2, 3, 2]), ([0, 0], [1, 1], [1], [3])):
        weights = Batch.of(rows(3), tuples=tuples, ref_embeddings=rows(4)).row_weights()
        assert weights is not None
        assert weights.tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(dtype: torch.dtype) -> None:
    batch = Batch.of(rows(2, dtype=dtype), ref_embeddings=rows(3).detach().to(dtype))
    assert batch.anchors.dtype is batch.references.dtype is torch.float32


def test_the_wider_of_two_precisions_is_used() -> None:
    x, y = rows(2, dtype=torch.float32), rows(3)
    batch = Batch.of(x, ref_embeddings=y)
    assert batch.anchors.dtype is batch.references.dtype is torch.float64


X = torch.zeros(3, DIM)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.zeros((3, 2))}, "embeddings must be a torch tensor \\[N, D\\]; got ndarray"),
        ({"embeddings": torch.zeros(3)}, "got shape \\(3,\\)"),
        ({"embeddings": torch.zeros(3, 2, 2)}, "got shape \\(3, 2, 2\\)"),
        (
            {"embeddings": torch.zeros(3, 2, dtype=torch.long)},
            "of float64, float32, bfloat16 or float16, dense; got .* of torch.int64",
        ),
        ({"embeddings": torch.zeros(3, 2).to_sparse()}, "dense; got sparse_coo of torch.float32"),
        ({"embeddings": torch.zeros(3, 2).to(torch.float8_e4m3fn)}, "got strided of torch.float8_e4m3fn"),
        ({"embeddings": torch.zeros(3, 2, dtype=torch.complex64)}, "got strided of torch.complex64"),
        ({"tuples": ([0j], [1j], [2j])}, "1-D integer tensors"),
        ({"labels": [0, 1]}, r"labels must be \[3\], one for each row of embeddings; .* got \(2,\)"),
        ({"labels": [[[0]], [[1]], [[2]]]}, r"got \(3, 1, 1\)"),
        ({"labels": [0.0, 1.0, 2.0]}, "labels must be integers; got torch.float32"),
        ({"labels": [True, False, True]}, "labels must be integers; got torch.bool"),
        ({"labels": ["a", "b", "c"]}, "labels must be integers \\[N\\]; got list"),
        ({"labels": [0, 1, 2], "ref_labels": [0]}, "ref_labels were given without ref_embeddings"),
        ({"labels": [0, 1, 2], "ref_embeddings": torch.zeros(2, DIM)}, "give both labels and ref_labels"),
        ({"ref_embeddings": torch.zeros(2, DIM), "ref_labels": [0, 1]}, "give both labels and ref_labels"),
        (
            {"labels": [0, 1, 2], "ref_embeddings": torch.zeros(2, 3), "ref_labels": [0, 1]},
            "embeddings are \\(3, 5\\) on cpu and ref_embeddings \\(2, 3\\) on cpu",
        ),
        (
            {"labels": [0, 1, 2], "ref_embeddings": torch.zeros(2, DIM), "ref_labels": [0]},
            "ref_labels must be \\[2\\], one for each row of ref_embeddings",
        ),
        ({"labels": [0, 1, 2], "ref_embeddings": X, "ref_labels": [0]}, "ref_labels must be \\[3\\]"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"embeddings": X} | arguments
    with pytest.raises(InputError, match=message):
        Batch.of(given.pop("embeddings"), given.pop("labels", None), **given)


@pytest.mark.parametrize("ask", ["positives", "negatives", "positive_index"])
def test_pairs_without_labels_or_tuples_are_refused(ask: str) -> None:
    with pytest.raises(InputError, match="needs labels"):
        getattr(Batch.of(X), ask)


def test_selections_of_either_kind_are_taken_as_they_are() -> None:
    index: Tensor = torch.tensor([2, 0])
    for selection in (Pairs.of(index, index, index, index), Triplets.of(index, index, index)):
        assert type(Batch.of(X, tuples=selection).selection) is type(selection)


def test_a_field_that_a_batch_does_not_have_is_refused() -> None:
    with pytest.raises(MetricregError, match=r"a batch has the fields anchors, references.*; got lables"):
        Batch.of(torch.randn(4, 2), torch.arange(4)).replace(lables=torch.arange(4))


@dataclass(frozen=True, eq=False)
class Named(Batch):
    name: str = ""


def test_views_of_a_batch_of_ones_own_are_of_its_class() -> None:
    batch = Named(torch.randn(4, 2), torch.randn(3, 2), name="mine")
    assert [type(view) for view in (batch.rows(0, 2), batch.replace(weights=torch.ones(4)))] == [Named, Named]
    assert (batch.rows(0, 2).name, batch.replace(name="yours").name) == ("mine", "yours")
