"""The memory that `metricreg explain` predicts beside the one that is measured, forward and backward, on the CPU.

    python -m benchmarks.explained_memory [LOSS ...]

Measured is the peak of the resident set of a fresh process above where it stood before the step (Linux), where the C
library gives back each larger block when it is freed, and the matrix library what it rearranges matrices in.
"""

from __future__ import annotations

import sys
from functools import partial

import metricreg
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.steps import spec_step
from metricreg.bench.worker import Worker

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MKL_DISABLE_FAST_MM": "1"}


def compared(name: str, n: int, dim: int = 256) -> tuple[float, float]:
    """MiB that a step of a loss needs: predicted, and measured."""
    spec, inputs = fit(name, Inputs(n, dim))
    with Worker(environment=GIVES_BACK) as worker:
        measured = worker.prepare(partial(spec_step, spec=spec), inputs)["peak"]
    return metricreg.explain(name, batch=n, dim=dim).peak / 2**20, measured / 2**20


if __name__ == "__main__":
    for name in sys.argv[1:] or metricreg.default_registry().names("loss"):
        for n in (1024, 4096):
            predicted, measured = compared(name, n)
            print(f"{name}, N = {n}: predicted {predicted:.1f} MiB, measured {measured:.1f} MiB", flush=True)
