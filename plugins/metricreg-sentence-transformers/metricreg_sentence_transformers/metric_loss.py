"""MetricLoss: a pipeline as a loss of sentence-transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

import metricreg
from metricreg import InputError, MetricregError, Pipeline
from metricreg.errors import said, said_by
from metricreg_sentence_transformers.columns import arguments, comparisons
from metricreg_sentence_transformers.mini_batches import embed
from metricreg_sentence_transformers.versions import versions


class MetricLoss(nn.Module):
    """A metricreg pipeline as the `loss` of a `SentenceTransformerTrainer`.

    What it learns from follows from the columns of the dataset:

    - one column of texts and labels: the classes of the texts, integers; or sets of labels, for a match;
    - an anchor, a positive and any number of negatives, without labels: each anchor against the positives and negatives
      of all rows, of which one positive is its own;
    - two columns and labels 1 and 0: pairs that belong together, and pairs that do not.

    Args:
        model: the encoder that is trained.
        spec: a spec, the path of a file that holds one, or a `metricreg.Pipeline`.
        in_batch_negatives: without labels, compare anchors with the texts of other rows too; if not, with the positive
            and the negatives of their own row.
        mini_batch_size: texts that the encoder sees at a time, where it cannot keep what it needs of the whole batch
            for the backward pass; everything is then computed twice. All at once if None.

    Raises:
        metricreg.SpecError: the spec is wrong.
        metricreg.InputError: the arguments do not go together.
    """

    first: Tensor

    def __init__(
        self,
        model: SentenceTransformer,
        spec: Mapping[str, Any] | str | os.PathLike[str] | Pipeline,
        *,
        in_batch_negatives: bool = True,
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, SentenceTransformer):
            raise TypeError(f"MetricLoss takes a SentenceTransformer first, then a spec; got {type(model).__name__}")
        if mini_batch_size is not None and (type(mini_batch_size) is not int or mini_batch_size < 1):
            raise InputError(f"mini_batch_size is a number of texts, at least 1; got {said(mini_batch_size)}")
        self.model = model
        self.pipeline = _pipeline(spec)
        self.in_batch_negatives = in_batch_negatives
        self.mini_batch_size = mini_batch_size
        self.register_buffer("first", torch.zeros((), dtype=torch.long))
        if not in_batch_negatives and comparisons(self.pipeline) != {"references"}:
            raise InputError(
                "in_batch_negatives=False is for losses that compare texts with each other by labels or tuples; leave "
                f"it out with {type(self.pipeline.loss).__name__}"
            )

    def forward(self, sentence_features: Iterable[Mapping[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The objective of a batch.

        Args:
            sentence_features: the tokenized texts of each column.
            labels: of the rows, `[B]` or `[B, L]`, or None.

        Raises:
            metricreg.InputError: columns or labels that the pipeline cannot use.
        """
        columns = [embed(self.model, features, self.mini_batch_size) for features in sentence_features]
        return self.compute_loss_from_embeddings(columns, labels)

    def compute_loss_from_embeddings(self, embeddings: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """The objective of texts that are embedded already, `[B, D]` of each column; the rest is as in `forward`."""
        self.pipeline.train(self.model.training)  # which is what the trainer switches, and not the loss
        given = arguments(
            self.pipeline, embeddings, labels, in_batch_negatives=self.in_batch_negatives, first=self.first
        )
        value = self.pipeline(**given)
        if not isinstance(value, Tensor) or value.ndim:
            raise InputError("this pipeline gives its terms, and a trainer needs a number: reduce them, by mean say")
        if self.model.training and labels is None:
            self.first += sum(map(len, embeddings[1:]))  # a memory may hold what earlier batches called so
        return value

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card shows: the spec, how it is used, and the versions of metricreg and of its plugins."""
        try:
            spec: Any = self.pipeline.to_spec()
        except MetricregError as error:
            spec = f"none: {said_by(error)}"
        return {
            "spec": spec,
            "in_batch_negatives": self.in_batch_negatives,
            "mini_batch_size": self.mini_batch_size,
            "versions": versions(self.pipeline),
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the spec and what the pipeline has learned, but not the encoder.

        Args:
            folder: made if it is not there; `loss.json` and `loss.safetensors` are written to it.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        (target / "loss.json").write_text(json.dumps(self.get_config_dict(), indent=2) + "\n", encoding="utf-8")
        save_file({key: value.contiguous() for key, value in self._own_state().items()}, target / "loss.safetensors")

    def load(self, folder: str | os.PathLike[str]) -> None:
        """Take what `save` wrote.

        Args:
            folder: that was given to `save`.

        Raises:
            metricreg.InputError: no such files, or those of another spec.
        """
        source = Path(folder)
        try:
            spec = json.loads((source / "loss.json").read_text(encoding="utf-8"))["spec"]
            state = load_file(source / "loss.safetensors")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(f"{source} does not hold what MetricLoss.save writes: {said_by(error)}") from error
        if spec != self.get_config_dict()["spec"] or state.keys() != self._own_state().keys():
            raise InputError(f"{source} holds the state of another spec: {said(json.dumps(spec))}")
        self.load_state_dict(state, strict=False)

    def _own_state(self) -> dict[str, Tensor]:
        return {key: value for key, value in self.state_dict().items() if not key.startswith("model.")}


def _pipeline(spec: Any) -> Pipeline:
    if isinstance(spec, Pipeline):
        return spec
    if isinstance(spec, (str, os.PathLike)):
        return metricreg.build(metricreg.load(spec))
    if isinstance(spec, Mapping):
        return metricreg.build(dict(spec))
    raise InputError(f"a spec is a dict, the path of a file, or a metricreg.Pipeline; got {type(spec).__name__}")
