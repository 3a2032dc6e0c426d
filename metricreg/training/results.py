"""Measuring a trained encoder on held-out rows, and leaving weights and figures behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from metricreg.training.figures import embedding_map, loss_curve
from metricreg.training.output import OutputFolder
from metricreg.training.preparation import Preparation
from metricreg.training.retrieval import retrieval_metrics
from metricreg.training.scaled_encoder import ScaledEncoder
from metricreg.training.weights import encoder_metadata, pack

EMBEDDED_AT_ONCE = 1024


def measure_and_write(
    ready: Preparation, folder: OutputFolder, history: Sequence[tuple[float, float, float]]
) -> dict[str, Any]:
    """Write weights and figures, and return retrieval before and after training.

    Before is by Euclidean distance of the features as the encoder sees them, after by cosine similarity of the
    embeddings.

    Args:
        ready: with its encoder trained.
        folder: where to.
        history: mean, lowest and highest loss of each epoch.
    """
    experiment, labels = ready.experiment, ready.test_labels
    features = ready.encoder.scale(ready.test_rows).flatten(1)
    embeddings = _embedded(ready.encoder, ready.test_rows)
    before = retrieval_metrics(features, labels, cosine=False)
    after = retrieval_metrics(embeddings, labels, cosine=True)

    metadata = encoder_metadata(experiment.encoder, ready.dataset.shape)
    folder.write("encoder.safetensors", pack(ready.encoder.state_dict(), metadata))
    objective = ready.pipeline.state_dict()
    if objective:
        folder.write("objective.safetensors", pack(objective, {}))
    folder.write("loss.png", loss_curve(history, ready.title))
    titles = (f"before: MAP@R {before.map_at_r:.3f}", f"after: MAP@R {after.map_at_r:.3f}")
    rows = (features.float().numpy(), normalize(embeddings, dim=1).numpy())
    picture = embedding_map(rows, labels.numpy(), ready.dataset.classes, titles, experiment.trainer.seed)
    folder.write("embedding.png", picture)

    raw = "standardized features" if experiment.data.standardized else "raw features"
    return {
        "before": {"rows": raw, "distance": "euclidean", **asdict(before)},
        "after": {"rows": "embeddings", "distance": "cosine", **asdict(after)},
    }


def about_data(ready: Preparation, digest: str) -> dict[str, Any]:
    """What `metrics.json` says about the data, so that figures can be told apart.

    Args:
        ready: the experiment.
        digest: of the data's content.
    """
    about: dict[str, Any] = {
        "rows": len(ready.dataset.labels),
        "training_rows": len(ready.train_rows),
        "held_out_rows": len(ready.test_rows),
        "classes": len(ready.dataset.classes),
        "training_classes": len(ready.train_classes),
        "sha256": digest,
    }
    return about if ready.dataset.columns is None else about | {"features": ready.dataset.columns}


def _embedded(encoder: ScaledEncoder, rows: Tensor) -> Tensor:
    """Embeddings `[T, D]` of rows `[T, ...]`, in evaluation mode, a piece at a time."""
    encoder.eval()
    dtype = encoder.mean.dtype
    starts = range(0, len(rows), EMBEDDED_AT_ONCE)
    with torch.no_grad():
        return torch.cat([encoder(rows[at : at + EMBEDDED_AT_ONCE].to(dtype)).float() for at in starts])
