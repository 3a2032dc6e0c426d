"""The memory that `metricreg explain` predicts beside the one that is measured, forward and backward, on the CPU.

    python -m benchmarks.explained_memory [LOSS ...] [--n 1024 4096] [--dim 256]

Measured is the peak of the resident set of a fresh process above where it stood before the step (Linux), where the C
library gives back each larger block when it is freed, and the matrix library what it rearranges matrices in.
"""

from __future__ import annotations

import argparse
from functools import partial

import metricreg
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.steps import spec_step
from metricreg.bench.worker import Worker

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MKL_DISABLE_FAST_MM": "1"}


def compared(name: str, n: int, dim: int) -> tuple[float, float]:
    """MiB that a step of a loss needs: predicted, and measured."""
    explanation = metricreg.explain(name, batch=n, dim=dim)
    views = explanation.references is not None
    spec, inputs = fit(name, Inputs(n, dim, two_views=views))
    with Worker(environment=GIVES_BACK) as worker:
        worker.prepare(partial(spec_step, spec=spec), inputs)
        found = worker.memory()
    if found is None:
        raise RuntimeError("this system has no account of the peak of a process")
    return explanation.peak / 2**20, found / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*")
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--dim", type=int, default=256)
    args = parser.parse_args()
    print(f"{'loss':>32} {'N':>6} {'predicted MiB':>14} {'measured MiB':>14} {'ratio':>6}")
    for name in args.losses or metricreg.default_registry().names("loss"):
        for n in args.n:
            predicted, measured = compared(name, n, args.dim)
            print(f"{name:>32} {n:>6} {predicted:>14.1f} {measured:>14.1f} {predicted / measured:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
