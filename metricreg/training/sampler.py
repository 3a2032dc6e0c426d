"""The order in which training rows are seen."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class MPerClassSampler(Sampler[list[int]]):
    """Yields batches of row numbers: `batch_size / m` different classes, `m` rows of each.

    Classes are dealt from a shuffled deck, and so are the rows of each class; a deck is shuffled anew when it cannot
    serve the next draw. Only where a class has fewer than `m` rows does a batch hold a row twice.

    The batches of an epoch are a function of (seed, epoch) and nothing else, so that a run that was killed continues
    with the batches it would have seen.

    Args:
        labels: class numbers, `[N]`.
        m: rows of a class in a batch.
        batch_size: a multiple of `m`, for at most as many classes as there are.
        batches_per_epoch: None is ceil(N / batch_size).
        seed: of the order.
    """

    def __init__(
        self, labels: NDArray[np.int64], m: int, batch_size: int, batches_per_epoch: int | None = None, seed: int = 0
    ) -> None:
        self._rows = [np.flatnonzero(labels == number) for number in np.unique(labels)]
        self.m = m
        self.classes_per_batch = batch_size // m
        self.batches = batches_per_epoch or math.ceil(len(labels) / batch_size)
        self.seed = seed
        self.epoch = 0
        assert batch_size % m == 0
        assert self.classes_per_batch <= len(self._rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose which epoch the next iteration goes through; Lightning calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        class_deck = np.empty(0, dtype=np.int64)
        decks = [rows[:0] for rows in self._rows]
        for _ in range(self.batches):
            if len(class_deck) < self.classes_per_batch:
                class_deck = generator.permutation(len(self._rows))
            chosen, class_deck = class_deck[: self.classes_per_batch], class_deck[self.classes_per_batch :]
            batch: list[int] = []
            for number in chosen:
                rows = self._rows[number]
                if len(rows) < self.m:
                    batch += generator.choice(rows, self.m).tolist()
                    continue
                if len(decks[number]) < self.m:
                    decks[number] = generator.permutation(rows)
                batch += decks[number][: self.m].tolist()
                decks[number] = decks[number][self.m :]
            yield batch

    def last_classes(self) -> list[int]:
        """A batch of the classes with the highest numbers: what a loss made for too few classes cannot take."""
        return [row for rows in self._rows[-self.classes_per_batch :] for row in np.resize(rows, self.m).tolist()]
