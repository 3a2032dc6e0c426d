"""The ranks of a step: what they say to each other, and what they have together."""

from __future__ import annotations

import atexit
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
import torch.distributed as dist
from torch import Tensor

from metricreg.errors import InputError, MetricregError, PerRankWarning, frames_inside, said_by

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

MESSAGE = 1024
"""Bytes of what each rank says at once; of more, the rest follows."""
SAID = 600
"""Characters of what an exception says."""
LARGE = 2**20
"""Values from which on a tensor is summed by itself, and not in a copy with others."""


class Ranks:
    """The processes that share one step, as one of them sees it.

    All of them make the same calls, in the same order; a call of another kind is an error on all. Nothing here keeps a
    group alive, as a graph may outlast `destroy_process_group`, whose threads would then outlast Python.

    Args:
        group: of torch.distributed.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._group = ref(group)
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise InputError("this process is not in the group that was given to Pipeline.distributed")
        self._host = ref(_host_group(group))
        self.failed = False
        _wait_at_exit()

    # -- words, by the host: no GPU is waited for ---------------------------------------------------------------------

    def exchange(self, what: str, message: Any = None) -> list[Any]:
        """What every rank says, as JSON has it.

        Args:
            what: what this is about, the same on all ranks.
            message: what this rank says.

        Raises:
            MetricregError: a rank says that it failed, or is about something else.
        """
        return self._exchanged({"what": what, "message": message})

    def tell(self, error: BaseException) -> None:
        """Take part in the next exchange, and say that this rank failed."""
        with suppress(Exception):  # what it says comes back as an error; and what was raised here is of more use
            self._exchanged({"error": said_by(error, SAID)})

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the others of what is raised here, unless they know."""
        try:
            yield
        except Exception as error:
            if not self.failed:
                self.tell(error)
            raise

    def _exchanged(self, mine: dict[str, Any]) -> list[Any]:
        found = [json.loads(text) for text in self._texts(json.dumps(mine).encode())]
        for rank, each in enumerate(found):
            if "error" in each:
                self.failed = True
                raise MetricregError(f"rank {rank} of {self.size} failed, and so all do: {each['error']}")
        for rank, each in enumerate(found):
            if each["what"] != found[0]["what"]:
                self.failed = True
                raise MetricregError(
                    f"ranks are at different places: rank 0 at {found[0]['what']}, and rank {rank} at {each['what']}. "
                    "Every rank has to call the same pipelines in the same order, and backward as often"
                )
        return [each["message"] for each in found]

    def _texts(self, mine: bytes) -> list[bytes]:
        first = len(mine).to_bytes(8, "little") + mine[:MESSAGE]
        found = self._bytes(first, 8 + MESSAGE)
        sizes = [int.from_bytes(each[:8], "little") for each in found]
        texts = [each[8:] for each in found]
        if max(sizes) > MESSAGE:
            rest = self._bytes(mine[MESSAGE:], max(sizes) - MESSAGE)
            texts = [a + b for a, b in zip(texts, rest, strict=True)]
        return [text[:size] for text, size in zip(texts, sizes, strict=True)]

    @torch.inference_mode(False)  # threads of gloo write what is made here
    def _bytes(self, mine: bytes, size: int) -> list[bytes]:
        own = torch.frombuffer(bytearray(mine.ljust(size, b"\0")), dtype=torch.uint8)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own, group=_alive(self._host))
        return [each.numpy().tobytes() for each in found]

    # -- work ---------------------------------------------------------------------------------------------------------

    def share(self, costs: Sequence[int]) -> list[int]:
        """Which of some pieces of work are this rank's: the largest first, each to who has least."""
        loads, mine = [0] * self.size, []
        for k in sorted(range(len(costs)), key=lambda k: -costs[k]):
            rank = loads.index(min(loads))
            loads[rank] += max(costs[k], 1)
            if rank == self.rank:
                mine.append(k)
        return sorted(mine)

    def run_of(self, count: int) -> range:
        """Which of some pieces of equal work are this rank's, in a row."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    # -- tensors, by the group ----------------------------------------------------------------------------------------

    def _group_for(self, tensor: Tensor) -> ProcessGroup:
        return _alive(self._host if tensor.device.type == "cpu" else self._group)

    @torch.inference_mode(False)  # threads of gloo write what is made here
    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums over ranks of tensors that have the same shapes and types on all; those given may be overwritten."""
        found = [(t.clone() if t.is_inference() else t).contiguous() for t in tensors]
        together: dict[tuple[torch.dtype, torch.device], list[int]] = {}
        for k, tensor in enumerate(found):
            if tensor.dtype is torch.bool:  # of which no backend makes a sum
                found[k] = self.sum([tensor.int()])[0].bool()
            elif tensor.numel() >= LARGE:
                dist.all_reduce(tensor, group=self._group_for(tensor))
            else:
                together.setdefault((tensor.dtype, tensor.device), []).append(k)
        for places in together.values():
            flat = torch.cat([found[k].flatten() for k in places])
            if len(flat):
                dist.all_reduce(flat, group=self._group_for(flat))
            for k, part in zip(places, torch.split(flat, [found[k].numel() for k in places]), strict=True):
                found[k] = part.view_as(found[k])
        return found

    @torch.inference_mode(False)  # threads of gloo write what is made here
    def gather(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """The rows of all ranks, one after the other.

        Args:
            rows: of this rank, `[n, ...]`.
            sizes: how many each has.
        """
        if rows.dtype is torch.bool:
            return self.gather(rows.byte(), sizes).bool()
        most = max(sizes)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        if not padded.numel():
            return rows.new_zeros(sum(sizes), *rows.shape[1:])
        found = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(found, padded, group=self._group_for(padded))
        return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])

    @torch.inference_mode(False)  # threads of gloo write what is made here
    def from_first(self, tensor: Tensor) -> Tensor:
        """What rank 0 has in the place of a tensor."""
        found = tensor.detach().clone().contiguous()
        group = self._group_for(found)
        if found.numel():
            dist.broadcast(found, src=dist.get_global_rank(group, 0), group=group)
        return found


@cache
def _wait_at_exit() -> None:
    """Give threads of gloo a moment before Python ends: they need it to let go of the last tensors, or abort."""
    atexit.register(time.sleep, 0.2)


_hosts: WeakKeyDictionary[ProcessGroup, ReferenceType[ProcessGroup]] = WeakKeyDictionary()


def _alive(group: ReferenceType[ProcessGroup]) -> ProcessGroup:
    found = group()
    if found is None:
        raise MetricregError("the group of torch.distributed of this step was destroyed before its backward pass")
    return found


def _host_group(group: ProcessGroup) -> ProcessGroup:
    """A group of the same ranks whose collectives are of tensors of the CPU."""
    if "cpu:" in dist.get_backend_config(group):
        return group
    known = _hosts[group]() if group in _hosts else None
    if known is None:
        ranks = dist.get_process_group_ranks(group)
        known = dist.new_group(ranks, backend="gloo", use_local_synchronization=True)
        _hosts[group] = ref(known)
    return known


def is_shared(group: ProcessGroup | None = None) -> bool:
    """Whether a group of torch.distributed has more than one rank; the one that is initialised, if None."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def ranks_of(group: ProcessGroup | None = None) -> Ranks:
    """The ranks of a group, for one step; of all processes, if None."""
    whole = dist.group.WORLD if group is None else group
    assert whole is not None  # as is_shared says
    return Ranks(whole)


def warn_per_rank(module: Any, which: str) -> None:
    """Say once of a module that each rank evaluates it alone.

    Args:
        module: a pipeline or a loss.
        which: what it is, and a verb.
    """
    if module.__dict__.get("_warned_per_rank"):
        return
    module.__dict__["_warned_per_rank"] = True
    memory = ""
    if next(module.buffers(), None) is not None:
        memory = (
            " Its buffers, such as a memory, then differ from rank to rank, and DistributedDataParallel, if it is "
            "inside, overwrites them with those of rank 0: give that broadcast_buffers=False."
        )
    warnings.warn(
        f"torch.distributed has several ranks, and {which} the loss of each rank's rows alone, which is not that "
        f"of one process with all rows.{memory} Said once; to silence it: warnings.filterwarnings('ignore', "
        "category=metricreg.PerRankWarning)",
        PerRankWarning,
        stacklevel=frames_inside(),
    )


# -- the step at hand -------------------------------------------------------------------------------------------------

_ALONE = "alone"
_now: ContextVar[Ranks | str | None] = ContextVar("_now", default=None)


def current() -> Ranks | None:
    """The ranks that share the step at hand; None where a process is alone with it."""
    if torch.compiler.is_compiling():
        return None
    now = _now.get()
    return now if isinstance(now, Ranks) else None


def is_decided() -> bool:
    """Whether a pipeline, or who else calls a loss, has said if a step is shared."""
    return _now.get() is not None


@contextmanager
def shared_by(ranks: Ranks | None) -> Iterator[None]:
    """Have ranks share what is evaluated; None for nobody, whatever was said before."""
    token = _now.set(_ALONE if ranks is None else ranks)
    try:
        yield
    finally:
        _now.reset(token)
