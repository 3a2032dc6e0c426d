"""Everything that can be wrong with an experiment is found here, before anything is written."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.components.renamed import warn_renamed
from metricreg.errors import ExperimentError, MetricregError, Problem, SpecError, cut
from metricreg.registry import default_registry
from metricreg.spec.lock import installed
from metricreg.spec.migrate import renamed, renamings_of
from metricreg.training.dataset import Dataset
from metricreg.training.experiment import TITLE, Experiment
from metricreg.training.sampler import MPerClassSampler
from metricreg.training.scaled_encoder import ScaledEncoder


@dataclass(frozen=True)
class Preparation:
    """An experiment that is ready to run.

    Args:
        experiment: what the file said.
        dataset: all rows.
        train_rows: `[N, *shape]`.
        train_labels: `[N]`, numbered 0 to C-1 over the classes that training sees.
        train_classes: those C classes, as the user wrote them.
        test_rows: `[T, *shape]`, held out.
        test_labels: `[T]`, indices into `dataset.classes`.
        encoder: with fresh weights.
        pipeline: the objective.
        sampler: over the training rows.
        resolved: the experiment with every default, as `experiment.json` shows it.
        spec: the pipeline's spec with every default.
        versions: of the distributions that its components, the steps and the training are from.
    """

    experiment: Experiment
    dataset: Dataset
    train_rows: Tensor
    train_labels: Tensor
    train_classes: list[str | int]
    test_rows: Tensor
    test_labels: Tensor
    encoder: ScaledEncoder
    pipeline: nn.Module
    sampler: MPerClassSampler
    resolved: dict[str, Any]
    spec: dict[str, Any]
    versions: dict[str, str]

    @property
    def title(self) -> str:
        """Of figures and tables."""
        return self.experiment.name or self.experiment.data.name


def prepare(experiment: Experiment, folder: Path) -> Preparation:
    """Read the data, build encoder and pipeline, and try them on one batch.

    Args:
        experiment: already checked on its own.
        folder: what relative paths in it are relative to.
    """
    try:
        dataset = experiment.data.load(folder)
    except (OSError, MemoryError) as error:
        raise ExperimentError(f"data: it cannot be read: {cut(str(error), 300)}") from error
    train, test = experiment.data.split.divide(dataset)
    present, numbers = torch.unique(torch.from_numpy(dataset.labels[train]), return_inverse=True)
    sampler = experiment.sampler.build(numbers.numpy(), experiment.trainer.seed)
    rows = torch.from_numpy(dataset.features)
    torch.manual_seed(experiment.trainer.seed)
    encoder = ScaledEncoder(experiment.encoder.build(dataset.shape), dataset.shape)
    if experiment.data.standardized:
        encoder.fit_scale(rows[train])
    pipeline, spec = _pipeline(experiment)
    plugins = installed(list(pipeline.children()), default_registry(), all_of_them=False)
    preparation = Preparation(
        experiment=experiment,
        dataset=dataset,
        train_rows=rows[train],
        train_labels=numbers,
        train_classes=[dataset.classes[number] for number in present.tolist()],
        test_rows=rows[test],
        test_labels=torch.from_numpy(dataset.labels[test]),
        encoder=encoder,
        pipeline=pipeline,
        sampler=sampler,
        resolved=experiment.resolved(spec, folder),
        spec=spec,
        versions=plugins | {name: version(name) for name in ("torch", "lightning")},
    )
    _try_one_batch(preparation)
    return preparation


def _pipeline(experiment: Experiment) -> tuple[nn.Module, dict[str, Any]]:
    from metricreg.pipeline import build

    try:
        renamings = renamings_of(experiment.pipeline)
        warn_renamed((replace(each, pointer=f"/pipeline{each.pointer}") for each in renamings), stacklevel=2)
        pipeline = build(renamed(experiment.pipeline, renamings))
        return pipeline, pipeline.to_spec(defaults=True)
    except SpecError as error:
        problems = [Problem(f"/pipeline{found.pointer}", found.message, found.given) for found in error.problems]
        raise SpecError(problems, TITLE) from error


def _try_one_batch(ready: Preparation) -> None:
    """Run forward and backward once on copies, so that neither proxies, memories nor running statistics move."""
    batch = ready.sampler.last_classes()
    rows, labels = ready.train_rows[batch], ready.train_labels[batch]
    encoder, pipeline = copy.deepcopy(ready.encoder), copy.deepcopy(ready.pipeline)
    embeddings = encoder(rows)
    given = f"embeddings {list(embeddings.shape)}, labels 0 to {len(ready.train_classes) - 1}"
    try:
        loss = pipeline(embeddings, labels)
        if isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad:
            torch.autograd.backward(loss)
    except Exception as error:  # a component, perhaps a plugin's, may raise anything
        said = str(error) if isinstance(error, MetricregError) else f"{type(error).__name__}: {error}"
        raise ExperimentError(
            f"the pipeline cannot take a batch of this experiment ({given}): {said}. If it has num_classes, compare "
            f"it with the {len(ready.train_classes)} training classes; if it has embedding_size, with "
            f"encoder.embedding_size {ready.experiment.encoder.embedding_size}"
        ) from error
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ExperimentError(f"the pipeline gives {shape} for a batch, not a single number; choose another reducer")
    if not loss.requires_grad:
        raise ExperimentError("the pipeline's loss does not depend on the embeddings, so there is nothing to learn")
    if not torch.isfinite(loss):
        raise ExperimentError(
            f"the loss of the first batch is {loss.item()} ({given}); look at the scale of the features and at the "
            "parameters of the loss"
        )
