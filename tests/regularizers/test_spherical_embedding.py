"""SphericalEmbeddingRegularizer: the variance of lengths, and its gradient."""

from __future__ import annotations

import torch

from metricreg.regularizers import SphericalEmbeddingRegularizer
from tests.oracle import rows, value_and_gradients


def test_it_is_the_variance_of_the_lengths() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-3.0, 0.0]])  # lengths 5, 1, 3
    assert SphericalEmbeddingRegularizer()(x) == 8 / 3


def test_the_gradient_is_along_each_embedding_by_its_deviation() -> None:
    x = rows(6)
    lengths = x.detach().norm(dim=1, keepdim=True)
    want = 2 / 6 * (lengths - lengths.mean()) * x.detach() / lengths
    torch.testing.assert_close(value_and_gradients(SphericalEmbeddingRegularizer()(x), [x])[1], want)


def test_a_sphere_of_any_radius_costs_nothing() -> None:
    x = 7 * torch.nn.functional.normalize(rows(6).detach())
    assert SphericalEmbeddingRegularizer()(x) < 1e-28


def test_zero_embeddings_have_a_finite_gradient() -> None:
    x = torch.zeros(3, 4, requires_grad=True)
    y = torch.cat([x, torch.ones(1, 4)])
    assert value_and_gradients(SphericalEmbeddingRegularizer()(y), [x])[1].isfinite().all()
