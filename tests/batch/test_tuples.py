"""Selections: index tuples as callers give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metricreg import InputError, Pairs, Triplets
from metricreg.batch.tuples import read_tuples

CPU = torch.device("cpu")
I = torch.tensor([2, 0, 1, 0])  # noqa: E741


def read(tuples: Any, rows: int = 3, columns: int = 4) -> Any:
    return read_tuples(tuples, rows, columns, CPU)


def test_three_lists_are_triplets_and_four_are_pairs() -> None:
    assert isinstance(read(([0], [1], [2])), Triplets)
    assert isinstance(read(([0], [1], [2, 2], [3, 0])), Pairs)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda c: torch.tensor(c, dtype=torch.int32)])
def test_lists_may_be_of_any_integer_kind(kind: Any) -> None:
    selection = read(tuple(kind(column) for column in ([0, 2], [1, 1], [3, 0])))
    assert [c.tolist() for c in selection.columns()] == [[0, 2], [1, 1], [3, 0]]
    assert all(c.dtype is torch.int64 for c in selection.columns())


def test_entries_are_sorted_by_anchor_and_stay_together() -> None:
    triplets = read(([2, 0, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0]))
    assert [c.tolist() for c in triplets.columns()] == [[0, 0, 1, 2], [1, 3, 2, 0], [2, 0, 1, 3]]
    pairs = read(([2, 0], [1, 3], [1, 2, 0], [0, 1, 2]))
    assert [c.tolist() for c in pairs.columns()] == [[0, 2], [3, 1], [0, 1, 2], [2, 0, 1]]


def test_whether_pairs_repeat_is_kept() -> None:
    assert not read(Pairs(I, I, I, I, repeats=False)).repeats
    assert read((I, I, I, I)).repeats


@pytest.mark.parametrize("tuples", [([], [], []), ([], [], [], [])])
def test_empty_lists_select_nothing(tuples: Any) -> None:
    selection = read(tuples)
    assert all(c.dtype is torch.int64 and not len(c) for c in selection.columns())
    assert selection.positives(3, 4).sum() == selection.negatives(3, 4).sum() == 0


def test_rows_are_the_entries_of_some_anchors_counted_from_the_first() -> None:
    part = read(([0, 0, 1, 2], [1, 3, 2, 0], [2, 0, 1, 3])).rows(1, 3)
    assert [c.tolist() for c in part.columns()] == [[0, 1], [2, 0], [1, 3]]
    assert part.offset_anchors(1).anchor.tolist() == [1, 2]
    pairs = read(([0, 2], [3, 1], [0, 1, 2], [2, 0, 1])).rows(2, 3)
    assert [c.tolist() for c in pairs.columns()] == [[0], [1], [0], [1]]
    assert pairs.offset_anchors(2).anchor2.tolist() == [2]


def test_repeated_pairs_count_as_often() -> None:
    pairs = read(([0, 0, 2], [1, 1, 0], [0], [2]))
    assert pairs.positives(3, 4).tolist() == [[0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert pairs.negatives(3, 4).sum() == 1
    triplets = read(([0, 0], [1, 1], [2, 3]))
    assert triplets.positives(3, 4)[0, 1] == 2
    anchor, positive, anchor2, negative = (torch.tensor(c) for c in ([0, 2], [1, 0], [0], [2]))
    once = read(Pairs.of(anchor, positive, anchor2, negative, repeats=False))
    assert once.positives(3, 4).dtype is torch.bool
    assert once.positives(3, 4).nonzero().tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    ("tuples", "message"),
    [
        (([0, 1], [1], [2]), "differ in length: \\[2, 1, 1\\]"),
        (([0], [1], [0, 1], [2]), "differ in length: \\[1, 1, 2, 1\\]"),
        (([3], [1], [2]), "anchors must be in 0..2; found 3..3"),
        (([-1, 0], [1, 1], [2, 2]), "anchors must be in 0..2; found -1..0"),
        (([0], [4], [2]), "positives must be in 0..3; found 4..4"),
        (([0], [1], [-1]), "negatives must be in 0..3; found -1..-1"),
        (([0], [1], [0], [9]), "negatives must be in 0..3; found 9..9"),
        (([0.0], [1.0], [2.0]), "1-D integer tensors; got .* of torch.float32"),
        (([True], [False], [True]), "of torch.bool"),
        (([[0]], [[1]], [[2]]), "1-D integer tensors; got shape \\(1, 1\\)"),
        ((["a"], ["b"], ["c"]), "1-D integer tensors; got list"),
        ((0, 1, 2), "1-D integer tensors"),
        (([0], [1]), "tuples must be Pairs, Triplets, or a tuple of 3"),
        (torch.zeros(3, 2), "got shape \\(3, 2\\)"),
        ("abc", "got str"),
        (Triplets(I.float(), I, I), "of torch.float32"),
        (Triplets(I, I, I[:2]), "differ in length"),
        (Pairs(I, I + 9, I, I), "positives must be in 0..3"),
    ],
)
def test_what_is_no_list_of_indices_is_refused(tuples: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tuples)


def test_columns_of_a_table_are_lists_like_any_other() -> None:
    triplets = Triplets(*torch.arange(9).view(3, 3).unbind(1))  # which are not contiguous
    assert [c.tolist() for c in triplets.rows(3, 9).columns()] == [[0, 3], [4, 7], [5, 8]]
