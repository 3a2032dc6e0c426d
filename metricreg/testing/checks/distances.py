"""Distances: the ways in which a loss asks for them."""

from __future__ import annotations

import torch

from metricreg.batch import Batch
from metricreg.testing.check import check, fail
from metricreg.testing.example import Example
from metricreg.testing.inputs import rows_like
from metricreg.testing.results import difference


@check(
    "distance",
    mend="let matrix take [..., X, D] and [..., Y, D]: axes counted from the end, x.mT, sum(-1), no x.T; and let an "
    "entry depend on its two rows alone",
    after=("prepares_each_row_by_itself",),
)
def is_the_same_for_every_question(example: Example) -> None:
    """Single pairs (`pairwise`), a batch (`between`), two sets (`forward`) and parts of those give the same."""
    distance, x = example.make(), example.inputs.embeddings
    y = rows_like(x, 5)
    want = distance(x, y)
    questions = {
        "pairwise": (distance.pairwise(x, y), want.diagonal()),
        "between": (distance.between(Batch.of(x, ref_embeddings=y)), want),
        "forward of some rows": (distance(x[:3], y[2:]), want[:3, 2:]),
        "forward of x alone": (distance(x), distance(x, x.clone())),
    }
    for name, (got, wanted) in questions.items():
        found = difference({"a distance": got}, {"a distance": wanted}, 1e-9)
        if found:
            fail(f"by {name}, {found} as by forward")


@check(
    "distance", mend="let prepare look at each row by itself: no mean over the rows; what needs all rows is a loss's"
)
def prepares_each_row_by_itself(example: Example) -> None:
    """What `prepare` makes of a row does not depend on the other rows."""
    distance, x = example.make(), example.inputs.embeddings
    want = distance.prepare(x)
    got = torch.cat([distance.prepare(x[i : i + 1]) for i in range(len(x))])
    found = difference({"what it makes": got}, {"what it makes": want}, 1e-9)
    if found:
        fail(f"of each row alone, {found}")
