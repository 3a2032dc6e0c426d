"""Specs as the command line names them: a file, JSON, or a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metricreg.bench.inputs import Inputs
from metricreg.components.signature import parameters_of
from metricreg.errors import SpecError
from metricreg.registry import default_registry
from metricreg.spec.describe import describe
from metricreg.spec.document import SUFFIXES, is_written, load, loads
from metricreg.spec.spec import validate


def given_spec(text: str, inputs: Inputs) -> dict[str, Any]:
    """The spec that a file, JSON or the name of a loss stands for, fitted to the inputs.

    The number of classes and the size of embeddings are filled in where the loss needs them and the spec, or its name
    alone, leaves them open.

    Args:
        text: a file of a spec or an experiment, such a spec as JSON, or the name of a loss.
        inputs: whose classes and features it is fitted to.

    Raises:
        SpecError: no such file or loss, or a spec that is not valid.
    """
    if is_written(text) or Path(text).suffix.lower() in SUFFIXES:
        document = loads(text) if is_written(text) else load(text)
        spec = dict(document["pipeline"]) if "pipeline" in document and "loss" not in document else dict(document)
        spec["loss"] = fitted(spec.get("loss"), inputs)
    else:
        spec = {"loss": _named(text, inputs)}
    problems = validate(spec)
    if problems:
        raise SpecError(problems, f"cannot measure {text}")
    return spec


def _named(name: str, inputs: Inputs) -> Any:
    try:
        example = describe("loss", name).example
    except SpecError as error:
        raise SpecError(
            f"{error}; give a file ({', '.join(SUFFIXES)}), JSON, or the name of a loss", "cannot measure"
        ) from None
    open_ = {"num_classes", "embedding_size"}  # which the example has some number for
    return fitted(example if isinstance(example, str) else {k: v for k, v in example.items() if k not in open_}, inputs)


def fitted(loss: Any, inputs: Inputs) -> Any:
    """The spec of a loss with the number of classes and the size of embeddings that it needs and does not have.

    Args:
        loss: a name or an object.
        inputs: whose classes and features are filled in.
    """
    if not isinstance(loss, str | dict):
        return loss  # validate says what is wrong with it
    node = {"name": loss} if isinstance(loss, str) else dict(loss)
    try:
        declared = parameters_of(default_registry().get("loss", str(node.get("name"))))
    except SpecError:
        return loss
    for key, size in (("num_classes", inputs.known), ("embedding_size", inputs.dim)):
        if key in declared and declared[key].required and key not in node:
            node[key] = size
    return node
