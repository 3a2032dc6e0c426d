from __future__ import annotations

import math

import pytest
import torch
from metricreg_robust import RINCELoss

from metricreg import InputError
from metricreg.losses import NTXentLoss


def naive(x: torch.Tensor, labels: list[int], q: float, density: float, temperature: float) -> float:
    """The mean over positive pairs, pair by pair."""
    s = torch.nn.functional.cosine_similarity(x[:, None], x[None, :], dim=-1).tolist()
    values = []
    for a, own in enumerate(labels):
        negatives = sum(math.exp(s[a][n] / temperature) for n, other in enumerate(labels) if other != own)
        for p, other in enumerate(labels):
            if p != a and other == own:
                positive = math.exp(s[a][p] / temperature)
                values.append(((density * (positive + negatives)) ** q - positive**q) / q)
    return math.fsum(values) / len(values)


@pytest.fixture(name="x")
def _x() -> torch.Tensor:
    return torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("q", "density", "temperature"), [(0.5, 0.01, 0.5), (1.0, 1.0, 1.0), (0.1, 0.3, 0.1)])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 3], [5] * 7])
def test_values_are_those_of_the_formula(
    x: torch.Tensor, labels: list[int], q: float, density: float, temperature: float
) -> None:
    got = RINCELoss(q, density, temperature)(x, labels)
    assert got.item() == pytest.approx(naive(x, labels, q, density, temperature), rel=1e-10)


def test_towards_q_zero_the_gradient_becomes_that_of_infonce(x: torch.Tensor) -> None:
    labels = [0, 0, 1, 1, 2, 2, 3]
    leaf = x.clone().requires_grad_()
    (robust,) = torch.autograd.grad(RINCELoss(q=1e-7, density=1.0)(leaf, labels), leaf)
    (plain,) = torch.autograd.grad(NTXentLoss(temperature=0.5)(leaf, labels), leaf)
    torch.testing.assert_close(robust, plain, rtol=1e-4, atol=1e-6)


def test_a_pair_given_twice_counts_twice(x: torch.Tensor) -> None:
    once = RINCELoss()(x, tuples=([0], [1], [0], [2]))
    torch.testing.assert_close(RINCELoss()(x, tuples=([0, 0], [1, 1], [0], [2])), once)  # a mean of equals
    more = naive_pair(x, 2)
    torch.testing.assert_close(RINCELoss()(x, tuples=([0], [1], [0, 0], [2, 2])), more)


def naive_pair(x: torch.Tensor, negatives: int) -> torch.Tensor:
    unit = torch.nn.functional.normalize(x, dim=1)
    positive, negative = ((unit[0] @ unit[k] / 0.5).exp() for k in (1, 2))
    return ((0.01 * (positive + negatives * negative)) ** 0.5 - positive**0.5) / 0.5


def test_labels_are_needed(x: torch.Tensor) -> None:
    with pytest.raises(InputError, match="needs labels"):
        RINCELoss()(x)
