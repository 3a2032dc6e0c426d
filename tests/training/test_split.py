from __future__ import annotations

import numpy as np
import pytest

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.split import Split


def dataset(*sizes: int) -> Dataset:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return Dataset.of(np.zeros((len(labels), 2)), labels, "test")


def test_by_sample_holds_out_the_share_of_every_class():
    data = dataset(10, 20, 40)
    train, test = Split(test_fraction=0.3).divide(data)
    assert np.bincount(data.labels[test]).tolist() == [3, 6, 12]
    assert sorted([*train, *test]) == list(range(70))


def test_by_sample_keeps_one_row_of_each_class_to_learn_from():
    data = dataset(10, 2, 1)
    train, _ = Split(test_fraction=0.7).divide(data)
    assert set(data.labels[train]) == {0, 1, 2}


def test_by_class_holds_out_whole_classes():
    data = dataset(3, 3, 3, 3, 3, 3)
    train, test = Split(by="class", test_fraction=0.5).divide(data)
    assert len(set(data.labels[train])) == len(set(data.labels[test])) == 3
    assert not set(data.labels[train]) & set(data.labels[test])


def test_the_seed_decides_and_nothing_else():
    data = dataset(30, 30)
    assert np.array_equal(Split(seed=1).divide(data)[1], Split(seed=1).divide(data)[1])
    assert not np.array_equal(Split(seed=1).divide(data)[1], Split(seed=2).divide(data)[1])


@pytest.mark.parametrize(
    ("split", "sizes", "said"),
    [
        (Split(test_fraction=0.01), (5, 5), "held-out set is empty"),
        (Split(test_fraction=0.9), (5, 5), "no class has two training rows .* or split by class"),
        (Split(test_fraction=0.1), (9, 9), "no class has two held-out rows .* or split by class"),
        (Split(by="class", seed=1), (5, 1, 1, 1), "no class has two .* rows a class$"),
        (Split(by="class"), (5, 5, 5), "needs 4 classes or more"),
    ],
)
def test_splits_that_leave_nothing_are_refused(split, sizes, said):
    with pytest.raises(ExperimentError, match=said):
        split.divide(dataset(*sizes))
