from __future__ import annotations

import numpy as np
import pytest
import torch

from metricreg.training.retrieval import retrieval_metrics


def naive(rows, labels, cosine):
    """Musgrave 2020, word for word, with a stable sort for each query."""
    rows = rows.astype(np.float64)
    if cosine:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    first, precision, average = [], [], []
    for query in range(len(rows)):
        others = np.array([row for row in range(len(rows)) if row != query])
        r = int((labels[others] == labels[query]).sum())
        if r == 0:
            continue
        distances = np.sqrt(((rows[others] - rows[query]) ** 2).sum(1))
        order = others[np.argsort(distances, kind="stable")]
        hits = labels[order[:r]] == labels[query]
        first.append(hits[0])
        precision.append(hits.sum() / r)
        average.append(sum(hits[:i].sum() / i for i in range(1, r + 1) if hits[i - 1]) / r)
    return np.mean(first), np.mean(precision), np.mean(average), len(first)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("in_flight", [1, 700, 10**6])
def test_agrees_with_a_naive_loop_however_it_is_chunked(cosine, in_flight):
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(90, 5)).astype(np.float32) + 3
    labels = generator.integers(0, 12, 90)
    labels[0] = 50  # alone in its class
    rows[:, 0] += labels * 0.3
    result = retrieval_metrics(torch.from_numpy(rows), torch.from_numpy(labels), cosine=cosine, in_flight=in_flight)
    first, precision, average, queries = naive(rows, labels, cosine)
    assert result.precision_at_1 == pytest.approx(first, abs=1e-12)
    assert result.r_precision == pytest.approx(precision, abs=1e-12)
    assert result.map_at_r == pytest.approx(average, abs=1e-12)
    assert (result.queries, result.skipped) == (queries, 90 - queries)


def test_among_equal_distances_the_lower_index_comes_first():
    generator = np.random.default_rng(2)
    rows = generator.integers(0, 3, (60, 3)).astype(np.float32)  # many duplicates, many ties
    labels = generator.integers(0, 4, 60)
    result = retrieval_metrics(torch.from_numpy(rows), torch.from_numpy(labels), cosine=False)
    first, precision, average, _ = naive(rows, labels, False)
    assert (result.precision_at_1, result.r_precision, result.map_at_r) == pytest.approx((first, precision, average))


def test_rows_far_from_the_origin_and_outliers_do_not_blur_the_ranking():
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(5), 8)
    rows = (generator.normal(size=(40, 4)) * 0.1 + labels[:, None] + 1000).astype(np.float32)
    rows[0] = 1e6
    result = retrieval_metrics(torch.from_numpy(rows), torch.from_numpy(labels), cosine=False)
    assert result.map_at_r == pytest.approx(naive(rows, labels, False)[2], abs=1e-12)


def test_perfect_and_hopeless_embeddings_score_one_and_zero():
    labels = torch.tensor([0, 0, 1, 1])
    perfect = retrieval_metrics(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), labels, cosine=False)
    assert (perfect.precision_at_1, perfect.r_precision, perfect.map_at_r) == (1, 1, 1)
    hopeless = retrieval_metrics(torch.tensor([[0.0], [5.0], [0.1], [5.1]]), labels, cosine=False)
    assert (hopeless.precision_at_1, hopeless.r_precision, hopeless.map_at_r) == (0, 0, 0)


def test_images_are_flattened_and_classes_of_one_row_give_no_queries():
    result = retrieval_metrics(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2]), cosine=True)
    assert (result.queries, result.skipped, result.map_at_r) == (0, 3, 0)
