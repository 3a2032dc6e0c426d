"""Reducers: what they make of terms in all their forms."""

from __future__ import annotations

import torch

from metricreg.batch.terms import Term
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example
from metricreg.testing.results import Result, difference
from metricreg.testing.terms import NAME, forms_of


@check("reducer", mend="ask the term: term.sum(), term.count(), term.per_anchor(); they know every form")
def reduces_terms_of_every_form(example: Example) -> None:
    """The same values give the same, whether they are a matrix with a weight, a list with repetitions, or triplets."""
    forms, every = forms_of(example.inputs), torch.arange(len(example.inputs))
    for what in ("values of which some count", "values that count several times", "triplets"):
        want = _reduced(example, forms[what](every))
        got = _reduced(example, _as_list(forms[what](every)))
        found = difference(got, want, 1e-9)
        if found:
            fail(f"{what}, as a list with a row each: {found}")


@check("reducer", mend="multiply by the weight with where(weight != 0, values, 0), as term.sum(values) does")
def ignores_what_does_not_count(example: Example) -> None:
    """Values whose weight is zero, infinite or NaN ones too, change neither the value nor the gradients."""
    every = torch.arange(len(example.inputs))
    term = forms_of(example.inputs)["values of which some count"](every)
    assert term.weight is not None  # of this form
    want = _reduced(example, term)
    for other in (torch.inf, torch.nan, 1e6):
        values = term.values.where(term.weight, other)
        got = _reduced(
            example, Term(values, term.weight, term.kind, divisor=term.divisor).bind(NAME, len(every), term.labels)
        )
        found = difference(got, want, 1e-12)
        if found:
            fail(f"with {other} where the weight is zero, {found}")


def _as_list(term: Term) -> Term:
    """The values that count, as often as they do."""
    assert term.weight is not None  # of forms that have one
    times = term.weight.expand(term.values.shape).long()
    index = times.nonzero().repeat_interleave(times[times > 0], 0).unbind(1)
    made = Term(term.values[index], kind=term.kind, rows=index[0], divisor=term.divisor)
    return made.bind(NAME, term.anchors, term.labels)


def _reduced(example: Example, term: Term) -> Result:
    found = example.make()(term)
    if isinstance(found, Term):
        skip("it leaves terms as they are")
    return {"the value": found}
