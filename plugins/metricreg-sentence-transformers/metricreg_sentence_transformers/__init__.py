"""metricreg pipelines as losses of sentence-transformers' trainer."""

from __future__ import annotations

from metricreg_sentence_transformers.checkpoint import ObjectiveCheckpoint
from metricreg_sentence_transformers.metric_loss import MetricLoss

__all__ = ["MetricLoss", "ObjectiveCheckpoint"]
