"""How well nearest neighbours share a class: precision@1, R-precision and MAP@R, exact and in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

# Distances in flight at once. With 2^22 of them a chunk takes about 150 MB, whatever the number of rows.
IN_FLIGHT = 2**22
INDEX_BITS = 22


@dataclass(frozen=True)
class RetrievalMetrics:
    """Means over the queries, each a share in [0, 1].

    With R the number of other rows of the query's class, and P(i) the share of its i nearest that are of its class:

        precision@1 = P(1)      R-precision = P(R)      MAP@R = 1/R * sum over i <= R of P(i) * [i-th is of its class]

    Musgrave, Belongie and Lim, "A Metric Learning Reality Check", ECCV 2020.

    Args:
        precision_at_1: how often the nearest other row is of the query's class.
        r_precision: share of the class among the R nearest.
        map_at_r: the same, but what comes early counts more.
        queries: rows that were asked about.
        skipped: rows that are alone in their class, so that there is nothing to find; not in the means.
    """

    precision_at_1: float
    r_precision: float
    map_at_r: float
    queries: int
    skipped: int


def retrieval_metrics(rows: Tensor, labels: Tensor, *, cosine: bool, in_flight: int = IN_FLIGHT) -> RetrievalMetrics:
    """Ask about each row among all others.

    Nearest is by Euclidean distance, computed in float64. Distances that agree to eight digits count as equal, and
    among equals the row with the lower index comes first, so that the figures do not hang on rounding.

    Args:
        rows: features or embeddings, `[N, ...]`; more than one axis is flattened.
        labels: class numbers, `[N]`.
        cosine: bring rows to length 1 first, which ranks by cosine similarity.
        in_flight: distances computed at once; bounds the memory, does not change the result.
    """
    points = rows.flatten(1).double()
    points = normalize(points, dim=1) if cosine else points - points.mean(dim=0)  # centred: fewer digits cancel
    count = len(points)
    assert count < 2**INDEX_BITS
    norms = points.square().sum(dim=1)
    others = torch.bincount(labels)[labels] - 1
    chunk = max(1, in_flight // count)
    sums, queries = torch.zeros(3, dtype=torch.float64), 0
    for start in range(0, count, chunk):
        asked = torch.arange(start, min(start + chunk, count))
        asked = asked[others[asked] > 0]
        if len(asked):
            nearest = _nearest(points, norms, asked, int(others[asked].max()))
            sums += _precisions(labels[nearest] == labels[asked, None], others[asked])
            queries += len(asked)
    first, r_precision, map_at_r = (sums / max(queries, 1)).tolist()
    return RetrievalMetrics(first, r_precision, map_at_r, queries, count - queries)


def _nearest(points: Tensor, norms: Tensor, asked: Tensor, k: int) -> Tensor:
    """Row numbers of the k nearest other rows of each query, nearest first, `[Q, k]`.

    A stable sort of every distance would settle ties too, at many times the cost. Instead the bits of a distance,
    which order like it, give up their last 22 to the row's number: then no two are equal, and `topk` is exact.
    """
    distances = (norms[asked, None] + norms).addmm_(points[asked], points.T, alpha=-2)  # [Q, N], squared
    noise = (norms[asked, None] + norms) * 1e-14
    distances = torch.where(distances <= noise, 0.0, distances)
    # Half a step first, so that this rounds: equal distances that rounding set apart come to the same key.
    keys = distances.view(torch.int64).add_(2 ** (INDEX_BITS - 1))
    keys.bitwise_and_(-(2**INDEX_BITS)).bitwise_or_(torch.arange(len(points)))
    keys[torch.arange(len(asked)), asked] = torch.iinfo(torch.int64).max
    return keys.topk(k, dim=1, largest=False).values.bitwise_and_(2**INDEX_BITS - 1)


def _precisions(hits: Tensor, others: Tensor) -> Tensor:
    """Sums over queries of precision@1, R-precision and MAP@R, `[3]`, from hits `[Q, k]` and R `[Q]`."""
    ranks = torch.arange(1, hits.shape[1] + 1)
    counted = (hits & (ranks <= others[:, None])).double()
    found = counted.cumsum(dim=1) / ranks
    return torch.stack(
        [hits[:, 0].double().sum(), (counted.sum(1) / others).sum(), ((found * counted).sum(1) / others).sum()]
    )
