"""Time and memory of metricreg's losses beside pytorch-metric-learning's, forward and backward.

    python benchmarks/losses.py [--n 4096] [--dim 256] [--per-class 4] [--repeat 5] [--device cpu] [--csv FILE]

Times are medians of runs taken in turn in one process, given as ratios: to pytorch-metric-learning, and to the three
matrix products that any exact forward and backward needs. Memory is the peak of the resident set of a fresh process
above where it stood before the step; on a GPU, the allocator's peak.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import metricreg

SPECS: dict[str, dict[str, Any]] = {
    name: {"name": name}
    for name in ("contrastive", "triplet_margin", "ntxent", "supcon", "multi_similarity", "arcface", "proxy_anchor")
}
PEERS = {
    "contrastive": "ContrastiveLoss",
    "triplet_margin": "TripletMarginLoss",
    "ntxent": "NTXentLoss",
    "supcon": "SupConLoss",
    "multi_similarity": "MultiSimilarityLoss",
    "arcface": "ArcFaceLoss",
    "proxy_anchor": "ProxyAnchorLoss",
}
PROXIES = ("arcface", "proxy_anchor")
QUADRATIC = 512  # pytorch-metric-learning's ntxent compares every positive pair with every negative pair


def inputs(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(0)
    classes = max(1, args.n // args.per_class)
    labels = (torch.arange(args.n) % classes)[torch.randperm(args.n, generator=generator)]
    embeddings = torch.randn(args.n, args.dim, generator=generator)
    return embeddings.to(args.device), labels.to(args.device), classes


def objective(which: str, name: str, args: argparse.Namespace, classes: int) -> Callable[..., torch.Tensor] | None:
    sizes = {"num_classes": classes, "embedding_size": args.dim} if name in PROXIES else {}
    if which == "floor":
        return lambda x, _: (x @ x.T).sum()
    if which in ("auto", "dense"):
        return metricreg.build({"loss": SPECS[name] | sizes, "execution": {"plan": which}}).to(args.device)
    if name == "ntxent" and args.n > QUADRATIC:
        return None
    from pytorch_metric_learning import losses

    peer: Any = getattr(losses, PEERS[name])(**sizes)
    return peer.to(args.device)  # type: ignore[no-any-return]


def step(loss: Callable[..., torch.Tensor], embeddings: torch.Tensor, labels: torch.Tensor) -> float:
    leaf = embeddings.clone().requires_grad_()
    if embeddings.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    loss(leaf, labels).backward()  # type: ignore[no-untyped-call]
    if embeddings.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(args: argparse.Namespace, which: str, name: str) -> float | None:
    """MiB that a step needs, in a process of its own."""
    command = [sys.executable, __file__, "--child", which, name]
    command += [f"--{k}={getattr(args, k.replace('-', '_'))}" for k in ("n", "dim", "per-class", "device")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(json.loads(found.stdout)) if found.returncode == 0 else None


def child(args: argparse.Namespace) -> None:
    which, name = args.child
    embeddings, labels, classes = inputs(args)
    loss = objective(which, name, args, classes)
    if loss is None:
        sys.exit(1)
    step(loss, embeddings[:64].clone(), labels[:64])  # imports and thread pools
    if args.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(loss, embeddings, labels)
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, imports forgotten (Linux)
    before = resident("VmRSS")
    step(loss, embeddings, labels)
    print(resident("VmHWM") - before)


def resident(field: str) -> float:
    """MiB, from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--per-class", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    embeddings, labels, classes = inputs(args)
    where = (
        torch.cuda.get_device_name()
        if args.device != "cpu"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    print(f"N = {args.n}, D = {args.dim}, {args.per_class} per class, float32, torch {torch.__version__}, {where}")
    rows = []
    for name in SPECS:
        found = {which: objective(which, name, args, classes) for which in ("floor", "auto", "dense", "peer")}
        runs = {which: loss for which, loss in found.items() if loss is not None}
        times: dict[str, list[float]] = {which: [] for which in runs}
        for turn in range(args.repeat + 1):
            for which, loss in runs.items():
                elapsed = step(loss, embeddings, labels)
                if turn:
                    times[which].append(elapsed)
        median = {which: statistics.median(values) for which, values in times.items()}
        row: dict[str, Any] = {
            "loss": name,
            "over floor": round(median["auto"] / median["floor"], 2),
            "over dense": round(median["auto"] / median["dense"], 2),
            "over PML": round(median["auto"] / median["peer"], 3) if "peer" in median else "",
            "MiB": _mib(peak(args, "auto", name)),
            "MiB dense": _mib(peak(args, "dense", name)),
            "MiB PML": _mib(peak(args, "peer", name)),
        }
        if not rows:
            print("  ".join(f"{key:>16}" for key in row))
        print("  ".join(f"{value!s:>16}" for value in row.values()), flush=True)
        rows.append(row)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def _mib(value: float | None) -> int | str:
    return "" if value is None else round(value)


if __name__ == "__main__":
    main()
