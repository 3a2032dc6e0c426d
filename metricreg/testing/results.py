"""What a component makes of its inputs: values and gradients by name, and whether two of those are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metricreg.batch.labels import related
from metricreg.batch.terms import Term
from metricreg.engine.execution import Execution
from metricreg.errors import InputError
from metricreg.testing.inputs import Inputs
from metricreg.testing.terms import term_of

DENSE = Execution("dense")
LEAVES = ("embeddings", "ref_embeddings")

Result = dict[str, Tensor]
"""What was made, by a name that says what it is."""


def call(component: Any, inputs: Inputs, execution: Execution = DENSE) -> Result:
    """What a component of any kind makes of inputs."""
    x, y = inputs.embeddings, inputs.ref_embeddings
    if component.kind == "loss":
        given = {name: value for name, value in vars(inputs).items() if name != "embeddings" and value is not None}
        return named(component(x, execution=execution, **given))
    if component.kind == "distance":
        return {"the distances": component(x, y)}
    if component.kind == "regularizer":
        return {"the penalty": component(x)}
    if component.kind == "reducer":
        return named(component(term_of(inputs)))
    if component.kind == "miner":
        return selected(component(x, inputs.labels, y, inputs.ref_labels))
    if inputs.labels is None:
        raise InputError("a match compares labels, and there are none")
    component.check(inputs.labels)
    references = inputs.labels if inputs.ref_labels is None else inputs.ref_labels
    positives, negatives = related(component, inputs.labels, references)
    return {"positives": positives, "negatives": negatives}


def named(found: Any) -> Result:
    """The value of a loss or reducer, or the values of the terms that it leaves."""
    if isinstance(found, dict):
        return {f"the term '{name}'": _counting(term) for name, term in found.items()}
    return {"the value": _counting(found)}


def _counting(found: Any) -> Any:
    if isinstance(found, Term):
        return found.values if found.weight is None else found.values.where(found.weight != 0, 0.0)
    return found


def selected(selection: Any) -> Result:
    """The tuples of a selection in the order of their numbers, `[T, 3]` triplets or `[P, 2]` pairs."""
    columns = selection.columns()
    if len(columns) == 3:
        return {"triplets": _sorted(columns)}
    return {"positive pairs": _sorted(columns[:2]), "negative pairs": _sorted(columns[2:])}


def _sorted(columns: Any) -> Tensor:
    entries = sorted(zip(*(column.tolist() for column in columns), strict=True))
    return torch.tensor(entries, dtype=torch.int64).view(-1, len(columns))


def result(component: Any, inputs: Inputs, execution: Execution = DENSE) -> Result:
    """What a component makes of inputs, and the gradients of those and of its parameters.

    Of what is no scalar, they are those of a sum with fixed weights.
    """
    inputs = inputs.copied()
    leaves = leaves_of(inputs)
    torch.manual_seed(0)
    found = call(component, replace(inputs, **leaves), execution)
    return {name: value.detach() for name, value in found.items()} | gradients(component, found, leaves)


def leaves_of(inputs: Inputs) -> dict[str, Tensor]:
    """The embeddings and references that there are, as leaves that want a gradient."""
    given = {name: value for name in LEAVES if (value := getattr(inputs, name)) is not None}
    return {name: value.detach().requires_grad_() for name, value in given.items()}


def gradients(component: Any, found: Result, leaves: dict[str, Tensor]) -> Result:
    """The gradients of what was made, zeros where there is none."""
    wanted = {f"the gradient of {name}": leaf for name, leaf in leaves.items()}
    learned = {name: p for name, p in component.named_parameters() if p.requires_grad}
    wanted |= {f"the gradient of the parameter '{name}'": p for name, p in learned.items()}
    parts = [(value * weights_like(value)).sum() for value in found.values() if value.requires_grad]
    if not parts:
        return {name: torch.zeros_like(leaf) for name, leaf in wanted.items()} if _is_floating(found) else {}
    made = torch.autograd.grad(sum(parts[1:], parts[0]), list(wanted.values()), allow_unused=True)
    pairs = zip(wanted.items(), made, strict=True)
    return {name: torch.zeros_like(leaf) if g is None else g.detach() for (name, leaf), g in pairs}


def weights_like(value: Tensor) -> Tensor:
    """Fixed weights in the shape of what was made; 1 of a scalar."""
    if value.ndim == 0:
        return torch.ones_like(value)
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5).to(value)


def _is_floating(found: Result) -> bool:
    return all(value.is_floating_point() for value in found.values())


def difference(found: Result, wanted: Result, tolerance: float) -> str | None:
    """What differs by more than a part of the largest entry of what is wanted, and by how much; None if nothing does.

    NaN is equal to NaN.
    """
    if found.keys() != wanted.keys():
        return f"there is {_listed(found)}, and not {_listed(wanted)}"
    for name, want in wanted.items():
        got = found[name]
        if got.shape != want.shape:
            return f"{name} is {list(got.shape)}, and not {list(want.shape)}"
        got, want = got.cpu(), want.cpu()
        if not want.is_floating_point():
            if not torch.equal(got, want):
                return f"{name}: {shown(got)}, and not {shown(want)}"
            continue
        got, want = got.double(), want.double()
        off = (got - want).abs()
        same = (got == want) | (got.isnan() & want.isnan())
        scale = want[want.isfinite()].abs().amax().clamp(min=1e-4) if want.isfinite().any() else off.new_tensor(1e-4)
        wrong = ~same & ~(off <= tolerance * scale)
        if bool(wrong.any()):
            at = int(off.where(wrong, 0.0).nan_to_num(nan=float("inf")).argmax())
            return f"{name} is {got.flatten()[at]:.6g}, and not {want.flatten()[at]:.6g}{_place(want, at)}"
    return None


def not_finite(found: Result) -> str | None:
    """What is NaN or infinite; None if nothing is."""
    for name, value in found.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            at = int((~value.isfinite()).flatten().long().argmax())
            return f"{name} is {float(value.flatten()[at])}{_place(value, at)}"
    return None


def draws(component: Any, inputs: Inputs) -> bool:
    """Whether a call draws from torch's random numbers."""
    before = torch.get_rng_state()
    with torch.no_grad():
        call(component, inputs)
    return not torch.equal(before, torch.get_rng_state())


def shown(value: Tensor) -> str:
    """A tensor on one line, cut."""
    text = str(value.tolist())
    return text if len(text) <= 200 else text[:197] + "..."


def _place(value: Tensor, at: int) -> str:
    if value.ndim == 0:
        return ""
    index = [int(i) for i in torch.unravel_index(torch.tensor(at), value.shape)]
    return f" at {index} of {list(value.shape)}"


def _listed(found: Result) -> str:
    return ", ".join(found) or "nothing"
