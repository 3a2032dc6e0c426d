"""Explainer: from a spec and sizes to an explanation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricreg.engine.sweep import triangle
from metricreg.explanation.explanation import (
    ExplainedLoss,
    ExplainedMiner,
    ExplainedProduct,
    ExplainedStatistic,
    ExplainedTerm,
    Explanation,
)
from metricreg.explanation.forecast import Forecast
from metricreg.explanation.reasons import name_of, of_gradient, of_plan
from metricreg.explanation.seen import SeenLoss, SeenMiner, SeenTerm
from metricreg.explanation.subject import Sizes, Subject


def explain(
    spec: Any,
    *,
    batch: int,
    dim: int,
    classes: int | None = None,
    per_class: int = 4,
    references: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> Explanation:
    """Say how a pipeline is evaluated for inputs of some size, why so, and what it costs.

    One step is rehearsed on random embeddings with the real components. Of a tiled plan some tiles are evaluated, and
    the others taken to cost the same.

    Args:
        spec: a spec, a pipeline, a file with a spec or an experiment, such a spec as JSON, or the name of a loss, whose
            required parameters are then made up.
        batch: N, the number of embeddings.
        dim: D, their dimension.
        classes: how many classes there are; what `batch` and `per_class` give, or what the spec says, if None.
        per_class: how many embeddings of each class the batch has; more if there are too few classes.
        references: rows of a separate reference set; the batch itself if None.
        device: `cpu` or `cuda`. Without a GPU, its tiles are rehearsed on the CPU.
        dtype: of the embeddings: `float32`, `float64`, `float16`, `bfloat16`.

    Raises:
        SpecError: a spec that cannot be built.
        InputError: sizes that fit neither it nor this machine.
    """
    subject = Subject(spec, Sizes(batch, dim, classes, per_class, references), device, dtype)
    forecast = Forecast.of(subject)
    products = sorted(forecast.products.items(), key=lambda item: (-item[0].flop * item[1], item[0]))
    return Explanation(
        batch=batch,
        dim=dim,
        classes=subject.classes,
        references=subject.references,
        device=device,
        dtype=dtype,
        losses=tuple(_loss(seen, subject, forecast.seen_at is None) for seen in forecast.losses),
        miners=tuple(map(_miner, forecast.miners)),
        products=tuple(ExplainedProduct(str(p), count, p.flop * count) for p, count in products),
        flop=forecast.flop,
        moved=forecast.moved,
        peak=forecast.peak,
        notes=tuple(_notes(subject, forecast)),
    )


def _loss(seen: SeenLoss, subject: Subject, whole: bool) -> ExplainedLoss:
    tile = min(seen.tile or seen.anchors, seen.anchors)
    return ExplainedLoss(
        pointer=_pointer(seen.path),
        name=name_of(seen.loss),
        anchors=seen.anchors,
        references=seen.references,
        selection=seen.selection,
        plan="dense" if seen.tile is None else "tiled",
        tile=tile,
        tiles=len(list(triangle(seen.anchors, tile))) if seen.symmetric else -(-seen.anchors // max(tile, 1)),
        symmetric=seen.symmetric,
        why=of_plan(seen, subject.execution, subject.device),
        before=seen.before,
        terms=tuple(_term(name, term, seen, whole) for name, term in seen.terms.items()),
    )


def _term(name: str, seen: SeenTerm, of: SeenLoss, whole: bool) -> ExplainedTerm:
    statistics = None if seen.statistics is None else tuple(ExplainedStatistic(*s) for s in seen.statistics)
    shape = seen.shape if whole else None
    return ExplainedTerm(name, seen.kind, seen.axes, shape, statistics, *of_gradient(seen, of))


def _miner(seen: SeenMiner) -> ExplainedMiner:
    return ExplainedMiner(_pointer(seen.path), name_of(seen.miner), seen.found, seen.counts, seen.anchors)


def _notes(subject: Subject, forecast: Forecast) -> Iterator[str]:
    if subject.device != subject.place:
        yield ("there is no GPU here: the tiles are a GPU's, and the cost is that of the same tiles on a CPU")
    if forecast.seen_at is not None:
        yield (
            f"too large to be tried here: the cost is carried on from dense steps of up to {forecast.seen_at} "
            "embeddings" + (", and tiles take less" if any(seen.tile for seen in forecast.losses) else "")
        )
    if forecast.miners:
        yield "what a miner finds depends on the embeddings, here random ones"


def _pointer(path: str) -> str:
    return "/" + path.replace(".", "/")
