from __future__ import annotations

import numpy as np
import pytest

from metricreg.errors import ExperimentError
from metricreg.training.m_per_class import MPerClass
from metricreg.training.sampler import MPerClassSampler

LABELS = np.repeat(np.arange(6), [10, 7, 4, 3, 1, 20])


def test_a_batch_has_m_rows_of_each_of_its_classes_without_repeats_where_there_are_enough():
    for batch in MPerClassSampler(LABELS, m=4, batch_size=16, batches_per_epoch=50, seed=1):
        assert len(batch) == 16
        numbers, counts = np.unique(LABELS[batch], return_counts=True)
        assert len(numbers) == 4
        assert (counts == 4).all()
        for number in numbers:
            rows = [row for row in batch if LABELS[row] == number]
            if len(np.flatnonzero(np.isin(LABELS, number))) >= 4:
                assert len(set(rows)) == 4


def test_order_is_a_function_of_seed_and_epoch():
    def epoch(seed, number):
        sampler = MPerClassSampler(LABELS, 2, 8, seed=seed)
        sampler.set_epoch(number)
        return list(sampler)

    assert epoch(3, 5) == epoch(3, 5)
    assert epoch(3, 5) != epoch(3, 6)
    assert epoch(3, 5) != epoch(4, 5)


def test_every_row_is_seen_in_an_epoch_of_equal_classes():
    labels = np.repeat(np.arange(5), 8)
    batches = list(MPerClassSampler(labels, m=4, batch_size=20))
    assert sorted(row for batch in batches for row in batch) == list(range(40))


def test_length_defaults_to_one_pass_and_can_be_set():
    assert len(MPerClassSampler(LABELS, 4, 16)) == 3
    assert len(list(MPerClassSampler(LABELS, 4, 16, 9))) == len(MPerClassSampler(LABELS, 4, 16, 9)) == 9


def test_last_classes_are_those_with_the_highest_numbers():
    batch = MPerClassSampler(LABELS, 4, 8).last_classes()
    assert LABELS[batch].tolist() == [4] * 4 + [5] * 4


def test_too_few_classes_say_what_would_fit():
    with pytest.raises(ExperimentError, match="takes 8 classes, the training rows have 6; lower batch_size to 24"):
        MPerClass().build(LABELS, 0)


def test_batch_that_is_no_multiple_of_m_names_the_nearest():
    with pytest.raises(ValueError, match="not a multiple of m 4; 28 or 32 would be"):
        MPerClass(batch_size=30)
    with pytest.raises(ValueError, match="not a multiple of m 4; 4 would be"):
        MPerClass(batch_size=3)
