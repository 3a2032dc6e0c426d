"""The two pictures of a run, as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# t-SNE takes time that grows faster than the rows, and a picture shows no more than this.
SHOWN = 2000
LEGEND = 20


def loss_curve(history: Sequence[tuple[float, float, float]], title: str) -> bytes:
    """Mean loss of each epoch, in the band of its lowest and highest batch.

    Args:
        history: mean, lowest and highest of each epoch.
        title: of the figure.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    mean, low, high = np.asarray(history).T
    epochs = np.arange(1, len(history) + 1)
    axes.fill_between(epochs, low, high, alpha=0.2, linewidth=0, label="lowest to highest batch")
    axes.plot(epochs, mean, marker="o" if len(history) < 40 else None, markersize=3, label="mean of the epoch")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(_plain(title))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def embedding_map(
    before_and_after: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.int64],
    classes: Sequence[str | int],
    titles: tuple[str, str],
    seed: int,
) -> bytes:
    """Held-out rows in the plane, before and after training, side by side and coloured by class.

    Args:
        before_and_after: features `[T, D]`, and embeddings of the same rows `[T, E]`.
        labels: class numbers, `[T]`.
        classes: what each number stands for.
        titles: of the two maps.
        seed: of the rows shown, where there are many, and of the layout.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(labels))[:SHOWN])
    labels = labels[chosen]
    present = np.unique(labels)
    colours = _colours(len(present))[np.searchsorted(present, labels)]
    figure = Figure(figsize=(12, 6), layout="constrained")
    for axes, rows, title in zip(figure.subplots(1, 2), before_and_after, titles, strict=True):
        points, method = flattened(rows[chosen], seed)
        axes.scatter(points[:, 0], points[:, 1], c=colours, s=9, linewidths=0)
        axes.set_title(f"{_plain(title)}\n{method} of {len(chosen)} held-out rows", fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    if len(present) <= LEGEND:
        marks = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=" " + _plain(str(classes[number])))
            for number, colour in zip(present, _colours(len(present)), strict=True)
        ]
        figure.legend(handles=marks, loc="outside right center", frameon=False, title="class")
    return _png(figure)


def flattened(rows: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], str]:
    """Rows `[T, D]` laid out in the plane `[T, 2]`, and the name of the method: t-SNE, or PCA for a few rows."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = rows.astype(np.float64)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # rows that are all alike have no variance to explain; their map is one point
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn")
        principal = PCA(min(50, *rows.shape), random_state=seed).fit_transform(rows)
        if len(rows) < 30 or principal.shape[1] < 2 or not np.ptp(principal, axis=0)[:2].all():
            return np.pad(principal, ((0, 0), (0, 2)))[:, :2], "PCA"
        layout = TSNE(perplexity=min(30.0, len(rows) / 4), init="pca", random_state=seed).fit_transform(principal)
    return np.asarray(layout, dtype=np.float64), "t-SNE"


def _colours(count: int) -> NDArray[np.float64]:
    name = "tab10" if count <= 10 else "tab20" if count <= 20 else "hsv"
    steps = np.arange(count) if count <= 20 else np.linspace(0, 1, count, endpoint=False)
    return np.asarray(colormaps[name](steps))


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the figure's font knows few scripts; a class name in another shows boxes
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing from")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
