from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from metricreg.training.figures import embedding_map, flattened, loss_curve


def colours(png: bytes) -> int:
    return len(np.unique(np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).view(np.uint32)))


@pytest.mark.parametrize("epochs", [1, 60])
def test_loss_curve_is_drawn_for_any_number_of_epochs(epochs):
    png = loss_curve([(1 / (i + 1), 0.5 / (i + 1), 2 / (i + 1)) for i in range(epochs)], "costs $5 and $6")
    assert png.startswith(b"\x89PNG")
    assert colours(png) > 5


@pytest.mark.parametrize(
    ("count", "size", "method"), [(40, 12, "t-SNE"), (40, 2, "t-SNE"), (40, 1, "PCA"), (5, 12, "PCA"), (2, 3, "PCA")]
)
def test_rows_are_laid_out_in_the_plane_by_a_method_that_suits_their_number(count, size, method):
    points, used = flattened(np.random.default_rng(0).normal(size=(count, size)).astype(np.float32), 0)
    assert points.shape == (count, 2)
    assert used == method
    assert np.isfinite(points).all()


def test_rows_that_are_all_alike_are_one_point():
    points, _ = flattened(np.ones((40, 4), np.float32), 0)
    assert np.ptp(points) == 0


@pytest.mark.parametrize("classes", [["_a", "$b$", "猫"], [str(i) for i in range(15)], [str(i) for i in range(40)]])
def test_map_takes_any_class_names_and_any_number_of_them(classes):
    generator = np.random.default_rng(0)
    labels = np.arange(len(classes) * 2) % len(classes)
    rows = generator.normal(size=(len(labels), 3)).astype(np.float32)[:29]
    png = embedding_map((rows, rows), labels[:29], classes, ("before", "after"), seed=0)
    assert colours(png) > min(len(classes), 29)


def test_a_large_set_is_thinned_out(monkeypatch):
    monkeypatch.setattr("metricreg.training.figures.SHOWN", 10)
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert embedding_map((rows, rows), np.arange(50) % 2, [0, 1], ("a", "b"), 0).startswith(b"\x89PNG")
