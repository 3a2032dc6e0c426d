"""The memory that `metricreg explain` predicts beside the one that is measured, forward and backward, on the CPU.

    python benchmarks/explained_memory.py [LOSS ...] [--n 1024 4096] [--dim 256] [--per-class 4] [--csv FILE]

Measured is the peak of the resident set of a fresh process above where it stood before the step (Linux), less the code
that the step loads, after a step of 64 rows that starts threads. Two ways:

- `measured`: with `MALLOC_MMAP_THRESHOLD_=65536`, so that the C library gives back each larger block when it is freed,
  and `MKL_DISABLE_FAST_MM=1`, so that the matrix library gives back what it rearranges matrices in;
- `as it comes`: with their own settings, with which the C library keeps freed blocks for later, some of which no later
  one fits in, and the matrix library some of its own, a few MiB for each thread and shape. This differs from run to
  run, and from one library to the next.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

import metricreg
from metricreg.bench.resident import peak_of
from metricreg.explanation.subject import Sizes, Subject
from metricreg.registry import default_registry

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MKL_DISABLE_FAST_MM": "1"}


def measured(name: str, n: int, dim: int, per_class: int = 4, **environment: str) -> float:
    """MiB that a step needs, in a process of its own."""
    command = [sys.executable, __file__, "--child", name, f"--n={n}", f"--dim={dim}", f"--per-class={per_class}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if found.returncode:
        raise RuntimeError(found.stderr)
    return float(found.stdout)


def child(name: str, n: int, dim: int, per_class: int) -> float:
    small = Subject(name, Sizes(64, dim, per_class=per_class), "cpu", "float32")
    step(small.pipeline(), small.inputs())
    subject = Subject(name, Sizes(n, dim, per_class=per_class), "cpu", "float32")
    pipeline, inputs = subject.pipeline(), subject.inputs()
    found = peak_of(lambda: step(pipeline, inputs))
    if found is None:
        raise RuntimeError("this system has no account of the peak of a process")
    return found / 2**20


def step(pipeline: metricreg.Pipeline, inputs: Any) -> None:
    loss = pipeline(
        inputs.embeddings, inputs.labels, ref_embeddings=inputs.ref_embeddings, ref_labels=inputs.ref_labels
    )
    torch.autograd.backward(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*")
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--per-class", type=int, default=4)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.child:
        print(child(args.child, args.n[0], args.dim, args.per_class))
        return
    rows = []
    for name in args.losses or default_registry().names("loss"):
        for n in args.n:
            predicted = metricreg.explain(name, batch=n, dim=args.dim, per_class=args.per_class).peak / 2**20
            here = measured(name, n, args.dim, args.per_class, **GIVES_BACK)
            row = {
                "loss": name,
                "N": n,
                "predicted MiB": round(predicted, 1),
                "measured MiB": round(here, 1),
                "predicted / measured": round(predicted / here, 2),
                "as it comes MiB": round(measured(name, n, args.dim, args.per_class), 1),
            }
            if not rows:
                print("  ".join(f"{key:>20}" for key in row))
            print("  ".join(f"{value!s:>20}" for value in row.values()), flush=True)
            rows.append(row)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
