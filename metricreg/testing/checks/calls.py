"""What a call gives, and of which inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from metricreg.batch.terms import Scalar, Term
from metricreg.errors import InputError
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example
from metricreg.testing.inputs import Inputs, batch_of
from metricreg.testing.results import LEAVES, call, difference, draws, leaves_of, not_finite, result, shown

LARGE_LABELS = (-5, 2**40, -5, 2**31 + 1, 2**40, 2**31 + 1, -(2**40), 2**31)
"""Labels that a cast to float32, int32 or to an index would confuse."""


@check(mend="see what it says; where it wants rows or labels of certain sizes, give parameters: (class, parameters)")
def takes_a_batch(example: Example) -> None:
    """It takes one of many tiny batches of all sorts, and makes of it what its kind makes: finite, and with a graph."""
    if example.refusal is not None:
        fail(f"no batch that was tried is taken; of the first it says: {example.refusal}")
    inputs = example.inputs
    found = call(example.make(), replace(inputs, **leaves_of(inputs)))
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            fail(f"{name} is {type(value).__name__}; expected a tensor")
        if example.kind in ("loss", "regularizer") and not name.startswith("the term") and value.shape != ():
            fail(f"{name} is {list(value.shape)}; expected a scalar, []")
        if value.is_floating_point() and not value.requires_grad:
            fail(f"{name} has no graph, so that nothing is learned; the inputs want a gradient")
    wrong = not_finite(result(example.make(), inputs))
    if wrong:
        fail(f"of {inputs}, {wrong}")


@check(
    "loss",
    mend="`batch.positives` and `batch.negatives` are counts where triplets are listed: ask `> 0` which there are",
    after=("takes_a_batch",),
)
def takes_listed_pairs_and_triplets(example: Example) -> None:
    """Of pairs and of triplets that a miner lists it makes something finite; or it refuses them by an `InputError`."""
    if not example.inputs.is_classed:
        skip("it takes no single label a row")
    anchors, positives, negatives = _triplets(example.inputs)
    listed = {
        "pairs": (anchors, positives, anchors, negatives),
        "triplets": tuple(torch.cat([each, each]) for each in (anchors, positives, negatives)),
    }
    for what, tuples in listed.items():
        try:
            wrong = not_finite(result(example.make(), replace(example.inputs, tuples=tuples)))
        except InputError:
            continue
        except Exception as error:
            fail(f"of listed {what} it raises", error)
        if wrong:
            fail(f"of listed {what}, {wrong}")


def _triplets(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A triplet of each anchor that has a positive and a negative."""
    labels = inputs.labels
    assert labels is not None
    references = labels if inputs.ref_labels is None else inputs.ref_labels
    same = labels[:, None] == references[None]
    positive = same if inputs.ref_embeddings is not None else same & ~torch.eye(len(labels), dtype=torch.bool)
    anchors = (positive.any(1) & ~same.all(1)).nonzero()[:, 0]
    return anchors, positive[anchors].long().argmax(1), (~same[anchors]).long().argmax(1)


@check(
    "loss",
    mend="give each term a name in `terms`; a loss made of losses implements `all_terms`, with names that differ",
)
def says_its_terms(example: Example) -> None:
    """`all_terms`, which `pipeline.terms` asks for, gives every term of a batch by its name."""
    terms = example.make().all_terms(batch_of(example.inputs))
    if not isinstance(terms, Mapping) or not terms:
        fail(f"all_terms gave {terms!r}; expected a mapping of names to terms")
    for name, term in terms.items():
        if not isinstance(term, Term | Scalar):
            fail(f"all_terms gave {type(term).__name__} for '{name}'; expected a Term or a Scalar")


@check(
    mend="go by the labels and the embeddings, and by no row's place; where it has a meaning, expect the failure",
    after=("takes_a_batch",),
)
def ignores_the_order_of_rows(example: Example) -> None:
    """With the rows in another order it makes the same, and of each row the same gradient."""
    inputs, component = example.inputs, example.make()
    if draws(example.make(), inputs):
        skip("it draws at random, and so something else of rows in another order")
    other, order = inputs.permuted()
    want, got = result(component, inputs), result(example.make(), other)
    if any(value.ndim for value in call(example.make(), inputs).values()):  # whose gradient is of a weighted sum
        want, got = ({name: value for name, value in each.items() if "gradient" not in name} for each in (want, got))
    found = difference({name: _in_order(name, value, order, example.kind) for name, value in got.items()}, want, 1e-9)
    if found:
        fail(f"with the rows in another order, {found}")


def _in_order(name: str, value: torch.Tensor, order: torch.Tensor, kind: str) -> torch.Tensor:
    """What was made of rows in another order, as it would be of those in the first."""
    back = order.argsort()
    if kind == "miner":
        return torch.tensor(sorted(order[value].tolist()), dtype=torch.int64).view(value.shape)
    if value.ndim == 0 or "parameter" in name:
        return value
    if kind == "distance" or kind == "match":
        return value[back] if "gradient" in name else value[back][:, back]
    return value[back]


@check("loss", "distance", "regularizer", "reducer", "miner", "match", mend="use reshape, not view, and no strides")
def ignores_the_layout(example: Example) -> None:
    """Of tensors that are not contiguous it makes the same."""
    inputs = example.inputs
    want = result(example.make(), inputs)
    for what, lay in {"columns after one another": _transposed, "every second row": _spread}.items():
        given = {name: lay(value) for name, value in vars(inputs).items() if isinstance(value, torch.Tensor)}
        found = difference(result(example.make(), replace(inputs, **given)), want, 1e-12)
        if found:
            fail(f"of tensors in memory as {what}, {found}")


def _transposed(x: torch.Tensor) -> torch.Tensor:
    return x.T.contiguous().T if x.ndim == 2 else _spread(x)


def _spread(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, 0)[::2]


@check(
    "loss",
    "distance",
    "regularizer",
    "reducer",
    mend="drop nothing, and replace nothing, that may be NaN: no nan_to_num",
)
def shows_nan(example: Example) -> None:
    """A NaN in its inputs is seen in what it makes, and is not hidden."""
    for name in LEAVES:
        value = getattr(example.inputs, name)
        if value is None:
            continue
        bad = value.clone()
        bad[len(bad) // 2, -1] = torch.nan
        for what, made in call(example.make(), replace(example.inputs, **{name: bad})).items():
            if not bool(made.isnan().any()):
                fail(f"with a NaN in {name}, {what} is {shown(made)}")


@check(
    "loss", "miner", mend="compare labels with each other as int64; or check that they are 0 to C - 1, by an InputError"
)
def takes_any_labels(example: Example) -> None:
    """Labels may be any 64-bit integers, and make no difference; or they are refused by an `InputError`."""
    if not example.inputs.is_classed:
        skip("it takes no single label a row")
    large = torch.tensor(LARGE_LABELS).repeat(len(example.inputs) // len(LARGE_LABELS) + 1)[: len(example.inputs)]
    _, small = torch.unique(large, return_inverse=True)
    try:
        got = result(example.make(), example.inputs.labelled(large))
        want = result(example.make(), example.inputs.labelled(small))
    except InputError:
        return
    found = difference(got, want, 1e-12)
    if found:
        fail(f"with labels such as {LARGE_LABELS[1]} in the place of 0, 1, 2 and 3, {found}")
