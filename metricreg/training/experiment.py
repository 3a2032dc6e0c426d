"""What an experiment file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from metricreg.errors import Problem, SpecError
from metricreg.training.encoders import AnyEncoder, MlpEncoder
from metricreg.training.experiment_problems import problems_of
from metricreg.training.m_per_class import MPerClass
from metricreg.training.optimizers import AdamOptimizer, AnyOptimizer
from metricreg.training.section import Section
from metricreg.training.sources import AnySource, DigitsSource
from metricreg.training.training_plan import TrainingPlan

TITLE = "invalid experiment"


class Experiment(Section):
    """A training run as data: everything that decides its outcome, and nothing else.

    Only `pipeline` has no default.

    Args:
        schema_url: the `$schema` of the file, for editors; not used.
        name: a title for figures and tables.
        pipeline: the spec of the objective.
        data: where rows come from, and which are held out.
        encoder: the network.
        sampler: how batches are made.
        optimizer: how weights are updated.
        trainer: how long, and on what.
    """

    schema_url: str | None = Field(default=None, alias="$schema")
    name: str | None = None
    pipeline: dict[str, Any]
    data: AnySource = DigitsSource()
    encoder: AnyEncoder = MlpEncoder()
    sampler: MPerClass = MPerClass()
    optimizer: AnyOptimizer = AdamOptimizer()
    trainer: TrainingPlan = TrainingPlan()

    @classmethod
    def parse(cls, document: Any) -> Experiment:
        """Check a whole document, the pipeline spec included; raises `SpecError` with every problem found."""
        from metricreg.spec.spec import validate

        problems: list[Problem] = []
        experiment = None
        try:
            experiment = cls.model_validate(document)
        except ValidationError as error:
            problems += problems_of(error, document, cls)
        spec = document.get("pipeline") if isinstance(document, dict) else None
        if isinstance(spec, dict):
            problems += [Problem(f"/pipeline{found.pointer}", found.message, found.given) for found in validate(spec)]
        if problems or experiment is None:
            raise SpecError(problems, TITLE)
        return experiment

    def resolved(self, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The experiment with every default written out, and with paths that hold wherever the file is put.

        Args:
            spec: the pipeline's spec with its defaults.
            folder: what relative paths are relative to.
        """
        document = self.model_dump(mode="json", by_alias=True)
        document = {key: value for key, value in document.items() if key not in ("$schema", "name") or value}
        document["pipeline"] = spec
        if "path" in document["data"]:
            document["data"]["path"] = str((folder / document["data"]["path"]).resolve())
        return document
