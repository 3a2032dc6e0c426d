"""One step of several ranks: their rows put together, what each is to agree on, and one state of everything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from metricreg.batch import Batch, Pairs, Triplets
from metricreg.batch.tuples import Selection
from metricreg.distributed.ranks import Ranks, shared_by
from metricreg.errors import InputError
from metricreg.functional.random_state import RandomState

_FLOATS = (torch.float32, torch.float64)


def gathered(
    ranks: Ranks, read: Callable[[], Batch], factor: float, facts: dict[str, Any], new: bool
) -> tuple[dict[str, Any], bool]:
    """The arguments of `Batch.of` for the rows of all ranks, one rank after the other; whether some rank is new.

    Args:
        ranks: who takes part.
        read: makes the batch of this rank's rows, and may raise.
        factor: by what the gradient of this rank's rows is multiplied.
        facts: what has to be the same on all ranks, by what it is called in an error.
        new: whether this rank has not taken part so far.

    Raises:
        InputError: ranks that do not fit together.
        MetricregError: another rank raised.
    """
    with ranks.telling():
        batch = read()
        mine = _described(batch)
    everyone = ranks.exchange("the batch of a step", {"facts": facts, "new": new, **mine})
    _check_facts(everyone)  # all see the same, and raise the same
    return _arguments(ranks, batch, everyone, factor), any(each["new"] for each in everyone)


def _described(batch: Batch) -> dict[str, Any]:
    """What other ranks have to know of a batch."""
    labels, others, selection = batch.anchor_labels, batch.reference_labels, batch.selection
    return {
        "rows": [len(batch), len(batch.references)],
        "size": batch.anchors.shape[1],
        "dtype": _FLOATS.index(batch.anchors.dtype),
        "grad": [batch.anchors.requires_grad, batch.references.requires_grad],
        "given": {
            "ref_embeddings": not batch.is_self_comparison,
            "labels": labels is not None,
            "ref_labels": others is not None and others is not labels,
            "tuples": None if selection is None else type(selection).__name__,
        },
        "label_shapes": [None if each is None else list(each.shape[1:]) for each in (labels, others)],
        "label_dtypes": [None if each is None else str(each.dtype).removeprefix("torch.") for each in (labels, others)],
        "lists": [] if selection is None else [len(column) for column in selection.columns()],
        "repeats": isinstance(selection, Pairs) and selection.repeats,
    }


def _check_facts(everyone: Sequence[dict[str, Any]]) -> None:
    """Refuse ranks that do not fit together."""
    known = [each["facts"] | {"the size of embeddings": each["size"]} for each in everyone]
    given = [{f"whether there are {name}": value for name, value in each["given"].items()} for each in everyone]
    for which, name in enumerate(("labels", "ref_labels")):
        filled = [each for each in everyone if each["rows"][which]]
        shapes = [(each["label_shapes"][which], rank) for rank, each in enumerate(everyone) if each in filled]
        for shape, rank in shapes:
            if shape != shapes[0][0]:
                raise InputError(
                    f"the shape of {name} is [n, *{shapes[0][0]}] on rank {shapes[0][1]}, and [n, *{shape}] on rank "
                    f"{rank}; it has to be the same on all ranks"
                )
    for rank, mine in enumerate(a | b for a, b in zip(known, given, strict=True)):
        for what, value in mine.items():
            first = (known[0] | given[0])[what]
            if value != first:
                raise InputError(
                    f"ranks do not fit together: {what} is {first} on rank 0, and {value} on rank {rank}; it has to be "
                    "the same on all ranks"
                )


def _arguments(ranks: Ranks, batch: Batch, everyone: Sequence[dict[str, Any]], factor: float) -> dict[str, Any]:
    """The arguments of `Batch.of`, gathered."""
    sizes = [[each["rows"][which] for each in everyone] for which in (0, 1)]
    dtype = _FLOATS[max(each["dtype"] for each in everyone)]

    def rows(which: int, mine: Tensor) -> Tensor:
        found: Tensor = _Gathered.apply(mine.to(dtype), ranks, sizes[which], factor)  # type: ignore[no-untyped-call]
        wanted = torch.is_grad_enabled() and any(each["grad"][which] for each in everyone)
        return found.requires_grad_() if wanted and not found.requires_grad else found

    def labels(which: int, mine: Tensor | None) -> Tensor | None:
        if mine is None:
            return None
        most = max(everyone, key=lambda each: each["rows"][which])  # the first that has rows, if any has
        dtypes = [getattr(torch, each["label_dtypes"][which]) for each in everyone if each["rows"][which]]
        wanted = dtypes[0] if dtypes else mine.dtype
        for each in dtypes:
            wanted = torch.promote_types(wanted, each)
        return ranks.gather(mine.to(wanted).reshape(len(mine), *most["label_shapes"][which]), sizes[which])

    embeddings, given = rows(0, batch.anchors), everyone[0]["given"]
    found: dict[str, Any] = {"embeddings": embeddings, "labels": labels(0, batch.anchor_labels)}
    if given["ref_embeddings"]:
        found |= {"ref_embeddings": rows(1, batch.references), "ref_labels": labels(1, batch.reference_labels)}
    elif given["ref_labels"]:
        found |= {"ref_embeddings": embeddings, "ref_labels": labels(1, batch.reference_labels)}
    if batch.selection is not None:
        found["tuples"] = _tuples(ranks, batch.selection, everyone, sizes)
    return found


def _tuples(
    ranks: Ranks, mine: Selection, everyone: Sequence[dict[str, Any]], sizes: Sequence[Sequence[int]]
) -> Selection:
    """The tuples of all ranks, which count rows from those of the first rank on."""
    before = [sum(some[: ranks.rank]) for some in sizes]
    columns = mine.columns()
    of_anchors = (0,) if len(columns) == 3 else (0, 2)
    shifted = [column + before[0 if k in of_anchors else 1] for k, column in enumerate(columns)]
    lists = [ranks.gather(each, [rank["lists"][k] for rank in everyone]) for k, each in enumerate(shifted)]
    if isinstance(mine, Triplets):
        return Triplets(*lists)
    return Pairs(*lists, repeats=any(each["repeats"] for each in everyone))


class _Gathered(torch.autograd.Function):
    """The rows of all ranks. Each of them has the whole gradient, and takes that of its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks, sizes: Sequence[int], factor: float) -> Tensor:
        start = sum(sizes[: ranks.rank])
        ctx.rows, ctx.factor = slice(start, start + len(rows)), factor
        return ranks.gather(rows, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0][ctx.rows] * ctx.factor, None, None, None


# -- one state --------------------------------------------------------------------------------------------------------


def outline(tensors: Mapping[str, Tensor]) -> str:
    """A digest of names, shapes and types."""
    lines = (f"{name} {list(t.shape)} {t.dtype} {t.requires_grad}" for name, t in tensors.items())
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


@torch.no_grad()
def take_values_of_first(ranks: Ranks, tensors: Iterable[Tensor]) -> None:
    """Give parameters and buffers the values that they have on rank 0."""
    for tensor in tensors:
        first = ranks.from_first(tensor)
        if not torch.equal(first, tensor):
            tensor.data.copy_(first)  # as DDP does, which autograd does not look at


@contextmanager
def one_step(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Evaluate as one process does, with the random numbers of rank 0, and raise where another rank raises."""
    own = RandomState(device)
    with ranks.telling():
        digests = ranks.exchange("the random numbers of a step", own.digest)
        if len(set(digests)) > 1:
            own.replace([ranks.from_first(state) for state in own.states])
        try:
            with shared_by(ranks):
                yield
            after = ranks.exchange("the end of a step", RandomState(device).digest)
        finally:
            if digests[ranks.rank] != digests[0]:
                own.put_back()
    if len(set(after)) > 1:
        raise InputError(
            "ranks drew different random numbers in a step, so that what they made differs: a component draws in what "
            "is asked of some rows only, such as a function given to Batch.map; draw in prepare"
        )
