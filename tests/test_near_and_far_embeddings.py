"""Embeddings near to each other beside their distance from the origin, as late in training: float32 beside float64.

Right is a value within 1e-3 and a gradient within 1e-2, or within what the rounding of the inputs alone makes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from metricreg import Distance, Execution, Loss, SpecError, create, default_registry
from metricreg import distances as D
from metricreg.functional import euclidean
from tests.oracle import LOSSES, PAIR_LOSSES

pytestmark = pytest.mark.no_cover
N, DIM, CLASSES = 48, 24, 12
LABELS = torch.arange(N) % CLASSES
PLANS = [Execution("dense"), Execution("tiled", tile=7)]
ULP = 2.0**-24
REDUCED = {"triplet_margin with all its options": "mean"}
"""Of losses that are never exactly 0 in float64, and underflow in float32: those that are 0 are not left out."""
DRAWING = {"distance_weighted", "uniform_histogram", "hdc"}
"""Miners that draw, or cut a sorted list: a rounding error moves all that follows."""
BEYOND = [
    ("decoupled_contrastive with weights", "size 10000", "raw"),
    ("decoupled_contrastive with weights", "size 10000", "mahalanobis"),
    ("smooth_ap", "clusters at 10000", "raw squared"),
    ("pnp", "clusters at 10000", "raw squared"),
]
"""Where float32 has no digits for what is asked: exponentials of similarities of 1e4; jumps where far distances are equal;
slopes of ranks, far steeper than far distances are apart."""
DISTANCES: dict[str, Callable[[], Distance]] = {
    "lp": D.LpDistance,
    "lp squared": partial(D.LpDistance, power=2),
    "lp raw": partial(D.LpDistance, normalize=False),
    "lp raw squared": partial(D.LpDistance, normalize=False, power=2),
    "mahalanobis": partial(D.MahalanobisDistance, DIM),
    "mahalanobis of a rank": partial(D.MahalanobisDistance, DIM, rank=8),
    "snr": D.SNRDistance,
    "cosine": D.CosineSimilarity,
}


def noise(seed: int, rows: int = N) -> Tensor:
    return torch.randn(rows, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tight(spread: float, size: float = 1.0, classes: int = CLASSES) -> Tensor:
    """Classes of a radius around unit vectors, all times a size."""
    centers = torch.nn.functional.normalize(noise(0, classes))
    return size * (centers[torch.arange(N) % classes] + spread * noise(1))


def far(offset: float, radius: float) -> Tensor:
    """Two clusters of a radius at a distance, each of half of every class."""
    centers = offset * torch.nn.functional.normalize(noise(2, 2))
    return centers[torch.arange(N) // CLASSES % 2] + radius * noise(1)


def by_twos() -> Tensor:
    """Couples from 1e-6 to 1e3 apart; each is of one class."""
    x = torch.nn.functional.normalize(noise(5))
    apart = torch.logspace(-6, 3, N // 2, dtype=torch.float64)[:, None]
    x[1::2] = x[::2] + apart * torch.nn.functional.normalize(noise(6, N // 2))
    return x[torch.arange(N) % CLASSES * (N // CLASSES) + torch.arange(N) // CLASSES]


def nested() -> Tensor:
    """Four places, three classes at each, and all of a class nearer still."""
    places = torch.nn.functional.normalize(noise(0, 4))
    return places[torch.arange(N) % 4] + 1e-3 * noise(1, CLASSES)[torch.arange(N) % CLASSES] + 1e-6 * noise(2)


def one_far_away(size: float) -> Tensor:
    x = tight(1e-3)
    x[0] = size * torch.nn.functional.normalize(noise(7, 1))[0]
    return x


def of_all_sizes() -> Tensor:
    return torch.logspace(-4, 4, N, dtype=torch.float64)[:, None] * tight(1e-3)


def some_equal() -> Tensor:
    x = tight(1e-3)
    x[12:24], x[5] = x[:12], x[4]
    return x


MIXED = {
    "couples of all distances": by_twos(),
    "nested": nested(),
    "one far away": one_far_away(1e4),
    "tight far clusters": far(1e3, 1e-2),
    "of all sizes": of_all_sizes(),
    "some equal": some_equal(),
}
BEYOND_MIXED = [
    ("pnp", "one far away", ""),
    ("smooth_ap", "one far away", ""),
    ("fast_ap", "of all sizes", "lp"),
    ("decoupled_contrastive with weights", "tight far clusters", ""),
    ("decoupled_contrastive with weights", "of all sizes", ""),
    ("margin", "tight far clusters", "cosine"),
    ("margin", "some equal", "cosine"),
    ("recall_at_k", "of all sizes", "cosine"),
]
"""As `BEYOND`; beta less its margin is 1, which rounding of a cosine may pass, and then it counts; the gradient of what
is 1e-4 long is 1e4 times that of its direction."""
BATCHES = {
    **{f"classes of radius {s:g}, size 1": tight(s) for s in (1e-1, 1e-2, 1e-6)},
    **{f"classes of radius 0.0001, size {z:g}": tight(1e-4, z) for z in (1e-4, 1.0, 1e4)},
    **{f"clusters at {o:g}": far(o, 0.1) for o in (1e-2, 1.0, 200.0, 1e4)},
    "three classes": tight(1e-3, 1.0, 3),
    "one place": tight(1e-3, 1.0, 1),
}


def result(make: Callable[[], Loss], x: Tensor, plan: Execution) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    loss = make().to(x.dtype)
    x = x.clone().requires_grad_()
    value = loss(x, LABELS, execution=plan)
    return value.detach().double(), torch.autograd.grad(value, x)[0].double()


def defined(name: str, distance: str) -> bool:
    torch.manual_seed(0)
    try:
        LOSSES[name](distance=DISTANCES[distance]())
    except SpecError:
        return False
    return True


@pytest.mark.parametrize("distance", ["lp", "lp raw", "lp raw squared", "mahalanobis of a rank", "snr"])
@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_losses_keep_their_digits(name: str, distance: str) -> None:
    if not defined(name, distance):
        pytest.skip("not defined for this distance")

    def make() -> Loss:
        reducer = {"reducer": create("reducer", REDUCED[name])} if name in REDUCED else {}
        return LOSSES[name](distance=DISTANCES[distance](), **reducer)

    for batch, exact in list(BATCHES.items())[1::2]:
        if not any(name == n and b in batch and d in distance for n, b, d in BEYOND):
            assert_right(make, exact, batch)


@pytest.mark.parametrize("distance", ["lp", "lp raw", "cosine"])
@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_losses_keep_their_digits_where_near_and_far_are_mixed(name: str, distance: str) -> None:
    if not defined(name, distance):
        pytest.skip("not defined for this distance")

    def make() -> Loss:
        reducer = {"reducer": create("reducer", REDUCED[name])} if name in REDUCED else {}
        return LOSSES[name](distance=DISTANCES[distance](), **reducer)

    for batch, exact in MIXED.items():
        if not any(name == n and b == batch and d in distance for n, b, d in BEYOND_MIXED):
            assert_right(make, exact, batch)


def assert_right(make: Callable[[], Loss], exact: Tensor, batch: str) -> None:
    x, size = exact.float(), float(exact.norm(dim=1).mean())
    for plan in PLANS:
        wanted = result(make, x.double(), plan)
        # what a change of the inputs by a few roundings makes is not theirs to keep
        rounded = result(make, x.double() * (1.0 + 4.0 * ULP * noise(3)), plan)
        found = result(make, x, plan)
        bounds = (1e-3, 1e-6), (1e-2, 1e-6 / size)
        for (bound, least), got, want, near in zip(bounds, found, wanted, rounded, strict=True):
            slack = max(bound * float(want.norm()), 10.0 * float((near - want).norm()), least)
            assert (got - want).norm() <= slack, (batch, plan.plan, got, want)


MANY_PAIRS = [("contrastive", {"neg_margin": 8.0}), ("nca", {"softmax_scale": 0.1}), ("lifted_structure", {})]


@pytest.mark.parametrize("distance", ["lp", "lp raw", "mahalanobis", "snr"])
@pytest.mark.parametrize(("name", "parameters"), MANY_PAIRS)
def test_many_near_rows_keep_their_digits(
    name: str, parameters: dict[str, float], distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(euclidean, "DIFFERENCES", 0)  # as in large batches, where they would be too many
    for batch, exact in BATCHES.items():
        assert_right(lambda: create("loss", name, distance=DISTANCES[distance](), **parameters), exact, batch)


@pytest.mark.parametrize("plan", PLANS, ids=["dense", "tiled"])
@pytest.mark.parametrize("distance", ["lp raw", "mahalanobis"])
@pytest.mark.parametrize(("name", "parameters"), MANY_PAIRS)
def test_a_few_rows_far_from_all_others_keep_their_digits(
    name: str, parameters: dict[str, float], distance: str, plan: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(euclidean, "DIFFERENCES", 0)
    few = N // 3  # at the origin, which has digits for them; of the others 1e6 away it has fewer
    x = noise(1)
    x[few:] += 1e6 * torch.nn.functional.normalize(noise(2, 1))
    found = []
    for rows in (x.float(), x.float().double()):
        torch.manual_seed(0)
        loss = create("loss", name, distance=DISTANCES[distance](), **parameters).to(rows.dtype)
        rows = rows.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(rows, LABELS, execution=plan), rows)
        found.append(gradient[:few].double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5 * float(found[1].abs().max()))


@pytest.mark.parametrize("distance", [name for name in DISTANCES if name != "cosine"])
@pytest.mark.parametrize("batch", BATCHES)
def test_distances_of_near_rows_are_those_of_their_differences(batch: str, distance: str) -> None:
    torch.manual_seed(0)
    measure = DISTANCES[distance]()
    x = BATCHES[batch].float()
    if "raw" not in distance and "mahalanobis" not in distance:
        x = torch.nn.functional.normalize(x.double()).float()
    found = measure(x).double()
    measure = measure.double()
    wanted = torch.stack([measure.pairwise(x.double(), x.double().roll(-k, 0)) for k in range(N)], 1)
    rows = torch.arange(N)
    for k in range(1, N):
        got, want = found[rows, (rows + k) % N], wanted[:, k]
        gap = (x.double() - x.double().roll(-k, 0)).norm(dim=1)
        resolved = 16.0 * ULP * x.double().norm(dim=1).maximum(x.double().roll(-k, 0).norm(dim=1)) / gap
        assert ((got - want).abs() <= want * (1e-4 + 2.0 * resolved)).all(), (k, (got / want - 1).abs().max())
        assert (got[gap > 0] > 0).all()


@pytest.mark.parametrize("distance", ["lp", "lp raw", "mahalanobis"])
@pytest.mark.parametrize("batch", [name for name in BATCHES if "1e-06" not in name])
def test_the_hardest_positive_is_the_farthest(batch: str, distance: str) -> None:
    torch.manual_seed(0)
    x = BATCHES[batch].float()
    miner = create("miner", "batch_hard", distance=DISTANCES[distance]())
    anchor, positive, negative = miner(x, LABELS).columns()
    exact = DISTANCES[distance]().double()
    d = torch.stack([exact.pairwise(x.double(), x.double()[[j]].expand(N, DIM)) for j in range(N)], 1)
    same = (LABELS[:, None] == LABELS) & ~torch.eye(N, dtype=torch.bool)
    other = LABELS[:, None] != LABELS
    farthest, nearest = d.masked_fill(~same, -1.0).amax(1), d.masked_fill(~other, torch.inf).amin(1)
    slack = 1e-3 + 32.0 * ULP * x.double().norm(dim=1) / nearest
    assert (d[anchor, positive] >= farthest[anchor] * (1.0 - slack[anchor])).all()
    assert (d[anchor, negative] <= nearest[anchor] * (1.0 + slack[anchor])).all()


@pytest.mark.parametrize("name", [name for name in default_registry().names("miner") if name not in DRAWING])
def test_miners_find_in_float32_what_they_find_in_float64(name: str) -> None:
    for batch in ("classes of radius 0.01, size 1", "classes of radius 0.0001, size 1", "clusters at 1"):
        x = BATCHES[batch].float()
        found, wanted = [], []
        for rows, columns in ((x, found), (x.double(), wanted)):
            torch.manual_seed(0)
            given = [c.tolist() for c in create("miner", name)(rows, LABELS).columns()]
            groups = (given,) if len(given) == 3 else (given[:2], given[2:])
            columns += [{(k, *each) for k, group in enumerate(groups) for each in zip(*group, strict=True)}]
        missed = len(found[0] ^ wanted[0]) / max(len(wanted[0]), 1)
        assert missed <= 0.02, (batch, missed)
