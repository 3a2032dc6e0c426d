"""`metricreg explain`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from metricreg.cli.console import Json, dump
from metricreg.cli.output import say


def explain(
    spec: Annotated[
        str,
        typer.Argument(help="A spec or experiment file (.json, .toml, .yaml), JSON, or the name of a loss."),
    ],
    batch: Annotated[int, typer.Option(help="N, the number of embeddings.")] = 1024,
    dim: Annotated[int, typer.Option(help="D, their dimension.")] = 256,
    classes: Annotated[int | None, typer.Option(help="How many classes there are.")] = None,
    per_class: Annotated[int, typer.Option(help="Embeddings of a class in the batch.")] = 4,
    references: Annotated[int | None, typer.Option(help="Rows of a separate reference set.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")] = "float32",
    as_json: Json = False,
) -> None:
    """Say how a spec is evaluated for a batch of some size, why so, and what memory and products it takes."""
    from metricreg.explanation.explainer import explain as explained

    found = explained(
        spec,
        batch=batch,
        dim=dim,
        classes=classes,
        per_class=per_class,
        references=references,
        device=device,
        dtype=dtype,
    )
    if as_json:
        dump(found.as_json())
    else:
        say(str(found))
