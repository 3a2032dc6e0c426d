"""Why a loss is evaluated by one plan and not by another, in words."""

from __future__ import annotations

from metricreg.components.component import Component
from metricreg.engine.execution import CPU_VALUES, GPU_VALUES, Execution
from metricreg.errors import SpecError
from metricreg.explanation.seen import SeenLoss, SeenTerm


def of_plan(seen: SeenLoss, execution: Execution, device: str) -> str:
    """Why this plan, and this tile."""
    if all(term.once for term in seen.terms.values()):
        return "nothing of it is a sum over anchors"
    if seen.width is None:
        return f"the reducer {name_of(seen.loss.reducer)} has no statistics that add up over anchors"
    if execution.plan == "dense":
        return "execution.plan is dense"
    values = seen.anchors * seen.width
    limit = CPU_VALUES if device == "cpu" else GPU_VALUES
    of = "a CPU" if device == "cpu" else "a GPU"
    size = f"{seen.anchors} anchors x {seen.width} values = {amount(values)} values"
    if seen.tile is None:
        return f"{size}, within the limit of {amount(limit)} for {of}"
    reason = (
        "execution.plan is tiled"
        if execution.plan == "tiled"
        else f"{size}, over the limit of {amount(limit)} for {of}"
    )
    if execution.tile is not None:
        return f"{reason}; execution.tile is {execution.tile}"
    if seen.tile * seen.width > limit:
        return f"{reason}; a tile has {seen.tile} anchors though it then has {amount(seen.tile * seen.width)} values"
    return f"{reason}; a tile has as many anchors as have {amount(limit)} values"


def of_gradient(seen: SeenTerm, of: SeenLoss) -> tuple[str, str]:
    """When the gradient of a term is made, and why then."""
    if seen.once:
        return "backward pass", "it is no sum over anchors, and made once, in plain autograd"
    if of.tile is None:
        return "backward pass", "the dense plan is plain autograd"
    carriers = [s for term in of.terms.values() if not term.once for s in term.statistics or () if s[2]]
    if not any(s[2] for s in seen.statistics or ()):
        return "none", "none of its statistics depends on embeddings or parameters"
    if seen.again:
        if any(shape for _, shape, _ in carriers):
            return "second sweep", "a statistic of several numbers carries it, whose slopes are known after the sweep"
        return (
            "second sweep",
            f"{len(carriers)} statistics carry it, and their slopes are known after the forward sweep",
        )
    if len(carriers) == 1:
        return "forward sweep", "one statistic carries it, and its slope is a factor for the backward pass"
    return (
        "forward sweep",
        f"{len(carriers)} statistics carry it, each with a gradient of its own: only one is of many values",
    )


def name_of(component: Component) -> str:
    """The registered name, or that of the class."""
    try:
        return str(component.to_spec()["name"])
    except SpecError:  # not registered
        return type(component).__name__


def amount(count: float, units: str = "KMGT", base: int = 1000) -> str:
    """A number of a few digits and a letter: 16.8 M."""
    power = 0
    while abs(count) >= base and power < len(units):
        count, power = count / base, power + 1
    return f"{count:.1f} {units[power - 1]}" if power else f"{count:.0f}"


__all__ = ["amount", "name_of", "of_gradient", "of_plan"]
