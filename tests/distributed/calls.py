"""What single tests have processes do."""

from __future__ import annotations

import copy
import pickle
import warnings
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import metricreg
from metricreg import Batch, Execution, Pipeline, Term
from tests.largest_tensor import LargestTensor


def value_of_listed(plan: Execution, x: Tensor, labels: Tensor) -> Tensor:
    """Of four rows a rank, with triplets that count from the rank's first row."""
    rank = dist.get_rank()
    mine = slice(4 * rank, 4 * rank + 4)
    tuples = (torch.tensor([0, 1]), torch.tensor([3, 2]), torch.tensor([1, 3]))
    pipeline = Pipeline(metricreg.create("loss", "triplet_margin"), None, plan).double()
    found: Any = pipeline(x[mine], labels[mine], tuples=tuples)
    return found.detach()


def caught(function: Any, *arguments: Any) -> str:
    """What a call raises, as a text; and whether this rank can go on with the others."""
    try:
        function(*arguments)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    else:
        found = "nothing"
    dist.barrier()
    return found


class Breaks(metricreg.Loss):
    """Raises where it sees a row: of a block, or in the backward pass of one."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def terms(self, batch: Batch) -> dict[str, Term]:
        values = self.distance.between(batch)
        if bool((batch.anchors[:, 0] > 100.0).any()):
            if self.where == "terms":
                raise KeyError("no such thing")
            if self.where == "backward":
                values = _BreaksBackward.apply(values)
            if self.where == "names":
                return {"other": Term(values)}
        return {"loss": Term(values)}


class BreaksOnRankOne(metricreg.Loss):
    """Raises in what every rank makes, on one of them."""

    def prepare(self, batch: Batch) -> Batch:
        if dist.get_rank() == 1:
            raise OSError("a disk is full")
        return batch

    def terms(self, batch: Batch) -> dict[str, Term]:
        return {"loss": Term(self.distance.between(batch))}


class _BreaksBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise ZeroDivisionError("in backward")


def step_of(loss: metricreg.Loss, plan: str = "tiled") -> None:
    """A step of six rows a rank, one of which is large, on rank 0."""
    x = torch.randn(6, 4, dtype=torch.float64)
    if dist.get_rank() == 0:
        x[3, 0] = 1e3
    Pipeline(loss, None, Execution(plan, 2)).double()(x.requires_grad_(), torch.arange(6) % 2).backward()  # type: ignore[arg-type]


def step_of_odd(which: str) -> None:
    """A step in which rank 1 does something else."""
    odd = dist.get_rank() == 1
    pipeline = metricreg.build({"loss": "contrastive"})
    x, labels = torch.randn(6, 4), torch.arange(6) % 2
    if which == "shape":
        x = x.flatten() if odd else x
    elif which == "size":
        x = torch.randn(6, 5) if odd else x
    elif which == "labels":
        labels = labels[:5] if odd else labels
    elif which == "label sets":
        labels = torch.ones(6, 3, dtype=torch.long) if odd else labels
    elif which == "references":
        pipeline(x, labels, **({"ref_embeddings": x.clone(), "ref_labels": labels} if odd else {}))
    elif which == "mode":
        pipeline.train(not odd)
    elif which == "no_grad":
        with torch.set_grad_enabled(not odd):
            pipeline(x, labels)
    elif which == "loss":
        pipeline = metricreg.build({"loss": "ntxent" if odd else "contrastive"})
    elif which == "gradient":
        pipeline = metricreg.build({"loss": "contrastive", "execution": {"gradient": "sum" if odd else "ddp"}})
    elif which == "views":
        pipeline = metricreg.build({"loss": "vicreg"})
        pipeline(x, ref_embeddings=torch.randn(7 if odd else 5, 4))
    pipeline(x, labels)


def warnings_of(execution: dict[str, str] | None, train: bool) -> list[str]:
    """What two steps of a pipeline warn of; of a bare loss, if None."""
    x, labels = torch.randn(6, 4), torch.arange(6) % 2
    memory = {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        if execution is None:
            module: Any = metricreg.create("loss", "contrastive")
        else:
            module = metricreg.build({"loss": memory, "execution": execution})
        module.train(train)
        for _ in range(2):
            module(x, labels)
    return [f"{each.category.__name__}: {each.message} [{each.filename}]" for each in found]


def warned_of_one_class() -> list[str]:
    """Where a warning says that it comes from, of rows of one class."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        metricreg.build({"loss": "contrastive"})(torch.randn(6, 4).requires_grad_(), torch.zeros(6, dtype=torch.long))
    return [f"{each.category.__name__} {each.filename}" for each in found]


def other_calls() -> dict[str, bool]:
    """Whether a copy, a pickled one, a compiled one, a thread, and inference mode make the same value; and twice."""
    rank = dist.get_rank()
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))[6 * rank : 6 * rank + 6]
    labels = torch.arange(6) % 2
    pipeline = metricreg.build({"loss": "ntxent"})
    want = pipeline(x, labels)
    in_thread: list[Tensor] = []
    thread = Thread(target=lambda: in_thread.append(pipeline(x, labels)))
    thread.start()
    thread.join()
    leaf = x.clone().requires_grad_()
    value = pipeline(leaf, labels)
    once, twice = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
    again = x.clone().requires_grad_()
    checkpoint(lambda t: pipeline(t, labels), again, use_reentrant=False).backward()
    with torch.inference_mode():
        inferred = pipeline(x, labels)
    found = {
        "a copy": copy.deepcopy(pipeline)(x, labels),
        "a pickled one": pickle.loads(pickle.dumps(pipeline))(x, labels),
        "a compiled one": torch.compile(pipeline, backend="eager")(x, labels),
        "a thread": in_thread[0],
        "inference mode": inferred,
    }
    same = {name: torch.equal(each, want) for name, each in found.items()}
    return same | {
        "twice": torch.equal(once, twice),
        "a checkpoint": again.grad is not None and torch.equal(again.grad, once),
    }


def explained_by_one() -> int:
    """How many problems one rank finds in a spec, and explains it, while the other does not ask."""
    if dist.get_rank() == 0:
        metricreg.explain({"loss": "ntxent"}, batch=64, dim=16)
        return len(metricreg.validate({"loss": "ntxent"}))
    return 0


def after_loading() -> Tensor:
    """The class vectors after a step, where rank 0 alone has loaded others after the first."""
    objective = metricreg.build({"loss": {"name": "arcface", "num_classes": 4, "embedding_size": 4}})
    x, labels = torch.randn(6, 4), torch.arange(6) % 4
    objective(x, labels)
    if dist.get_rank() == 0:
        objective.load_state_dict({"loss.proxies": torch.full((4, 4), 0.5)})
    objective(x, labels)
    return objective.get_parameter("loss.proxies").detach()


def mined(spec: Any, seed: int, number: int) -> tuple[list[Tensor], Tensor]:
    """What a miner selects of the rows of all ranks, and the next random number of rank 0."""
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(seed + rank)
    return selected(spec, number, slice(number * rank // size, number * (rank + 1) // size))


def selected(spec: Any, number: int, mine: slice) -> tuple[list[Tensor], Tensor]:
    """What a miner selects in a pipeline, and the next random number."""
    x = torch.randn(number, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(number) % (number // 4)
    pipeline = metricreg.build({"loss": "triplet_margin", "miner": spec}).double()
    assert pipeline.miner is not None
    seen: list[Tensor] = []
    mine_all = pipeline.miner.mine

    def watched(batch: Batch) -> Any:
        found = mine_all(batch)
        seen.extend(found.columns())
        return found

    object.__setattr__(pipeline.miner, "mine", watched)
    pipeline(x[mine], labels[mine])
    return seen, torch.rand(())


class Products(TorchDispatchMode):
    """Counts multiply-adds of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **kwargs or {})
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self.count += found.numel() * args[0].shape[-1]
        elif name in ("addmm", "baddbmm"):
            self.count += found.numel() * args[1].shape[-1]
        return found


def products(spec: Any, number: int) -> int:
    """Multiply-adds of a step after a first one, in which promises are looked at."""
    shared = dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if shared else (0, 1)
    pipeline = metricreg.build(spec)
    x = torch.randn(number, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(number) % (number // 4)
    mine = slice(number * rank // size, number * (rank + 1) // size)
    for _ in range(8):
        counted = Products()
        with counted:
            pipeline(x[mine].clone().requires_grad_(), labels[mine]).backward()
    return counted.count


def largest_tensor(spec: Any, number: int) -> int:
    """Values of the largest tensor that a step makes."""
    rank, size = dist.get_rank(), dist.get_world_size()
    x = torch.randn(number, 4, generator=torch.Generator().manual_seed(0))
    mine = slice(number * rank // size, number * (rank + 1) // size)
    pipeline = metricreg.build(spec)
    with LargestTensor() as found:
        pipeline(x[mine].requires_grad_(), torch.arange(number)[mine] % (number // 4)).backward()
    return int(found.numel)
