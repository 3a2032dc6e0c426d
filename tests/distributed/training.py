"""Encoders that are trained by several processes, or by one that has all rows."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import metricreg

SPEC: dict[str, Any] = {
    "losses": {
        "memory": {"name": "cross_batch_memory", "loss": "contrastive", "embedding_size": 4, "memory_size": 40},
        "classes": {"name": "arcface", "num_classes": 4, "embedding_size": 4},
    },
    "name": "multiple",
}
STEPS = 3
ROWS = 12


class Both(nn.Module):
    """An encoder and an objective in one module."""

    def __init__(self, encoder: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.objective(self.encoder(x), labels)
        return found


def made(gradient: str) -> Both:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    return Both(encoder, metricreg.build({"loss": SPEC, "execution": {"gradient": gradient}}).double())


def trained(wrap: str) -> list[dict[str, Tensor]]:
    """The parameters and buffers after each of some steps of SGD.

    Args:
        wrap: `encoder`, `both`, `fsdp`, `sum` (gradients summed by hand), `accumulated` (two batches a step), `frozen`
            (rank 1's embeddings want no gradient: it is one process's of the others' rows).
    """
    shared = dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if shared else (0, 1)
    both = made("sum" if wrap == "sum" else "ddp")
    model: Any = both
    if shared:
        model = _wrapped(both, wrap)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for step in range(STEPS):
        optimizer.zero_grad()
        batches = 2 if wrap == "accumulated" else 1
        for k in range(batches):
            generator = torch.Generator().manual_seed(10 * step + k)
            x = torch.randn(ROWS, 6, generator=generator, dtype=torch.float64)
            labels = torch.randint(4, (ROWS,), generator=generator)
            mine = slice(ROWS * rank // size + rank, ROWS * (rank + 1) // size + (rank + 1 < size))
            quiet = shared and k + 1 < batches and hasattr(model, "no_sync")
            with model.no_sync() if quiet else contextlib.nullcontext():
                model(x[mine], labels[mine]).backward()
        if shared and wrap == "sum":
            for parameter in both.encoder.parameters():
                dist.all_reduce(parameter.grad)
        optimizer.step()
        found.append(_state(both))
    return found


def _wrapped(both: Both, wrap: str) -> nn.Module:
    if wrap == "encoder":
        both.encoder = DistributedDataParallel(both.encoder)
        return both
    if wrap in ("both", "accumulated"):
        return DistributedDataParallel(both)
    if wrap == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        fully_shard(both.encoder, mesh=mesh)
        fully_shard(both, mesh=mesh)
    return both


def _state(both: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, tensor in both.state_dict().items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        found[name.replace("module.", "")] = whole.detach().clone()
    return found


def frozen() -> Tensor:
    """The gradient of a rank's rows, where rank 1's want none."""
    rank = dist.get_rank()
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objective = metricreg.build({"loss": "contrastive", "execution": {"gradient": "sum"}}).double()
    mine = x[6 * rank : 6 * rank + 6].clone()
    if rank == 0:
        mine.requires_grad_()
    objective(mine, torch.arange(12)[6 * rank : 6 * rank + 6] % 3).backward()
    return torch.zeros(6, 4) if mine.grad is None else mine.grad


def under_autocast(autocast: bool) -> Tensor:
    """The value of half precision rows."""
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    mine = slice(12 * rank // size, 12 * (rank + 1) // size)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found: Tensor = metricreg.build({"loss": "supcon"})(x[mine], torch.arange(12)[mine] % 3)
    return found.detach()


def of_own_group() -> Tensor:
    """The value where each pair of four ranks is a group of its own."""
    rank = dist.get_rank()
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mine = slice(6 * rank, 6 * rank + 6)
    objective = metricreg.build({"loss": "contrastive"}).double().distributed(groups[rank // 2])
    found: Tensor = objective(x[mine], torch.arange(24)[mine] % 3)
    return found.detach()


def with_other_parameters() -> Tensor:
    """The class vectors after a step where each rank has begun with its own."""
    torch.manual_seed(dist.get_rank())
    objective = metricreg.build({"loss": {"name": "arcface", "num_classes": 4, "embedding_size": 4}})
    objective(torch.randn(6, 4), torch.arange(6) % 4)
    return objective.get_parameter("loss.proxies").detach()
