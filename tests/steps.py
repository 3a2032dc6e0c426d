"""Steps that come to no good end, which a worker makes on batches that are larger than the one it warms up with."""

from __future__ import annotations

import os
import time
from typing import Any

from metricreg.bench.inputs import SMALL, Inputs

FINE = "tests.steps:fine"
SLEEPY = "tests.steps:sleepy"
HUNGRY = "tests.steps:hungry"
REFUSED = "tests.steps:refused"
DYING = "tests.steps:dying"
LOUD = "tests.steps:loud"


class OddStep:
    """What a function does, on a batch that is large."""

    def __init__(self, inputs: Inputs, does: Any) -> None:
        self.large, self.does = inputs.batch > SMALL, does

    def reset(self) -> None:
        pass

    def run(self) -> None:
        if self.large:
            self.does()

    def facts(self) -> dict[str, Any]:
        return {"references": 1, "parameter_bytes": 0}


def fine(inputs: Inputs, seconds: float = 0.0, mib: int = 0) -> OddStep:
    def does() -> None:
        kept = b"\1" * (mib * 2**20)
        time.sleep(seconds)
        del kept

    return OddStep(inputs, does)


def sleepy(inputs: Inputs) -> OddStep:
    return OddStep(inputs, lambda: time.sleep(60))


def hungry(inputs: Inputs) -> OddStep:
    def does() -> None:
        kept = []
        for _ in range(60):
            kept.append(b"\1" * (50 * 2**20))
            time.sleep(0.02)

    return OddStep(inputs, does)


def refused(inputs: Inputs) -> OddStep:
    def does() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    return OddStep(inputs, does)


def dying(inputs: Inputs) -> OddStep:
    def does() -> None:
        os.write(2, b"the last words\n")
        os._exit(3)

    return OddStep(inputs, does)


def loud(inputs: Inputs) -> OddStep:
    print("made")
    return OddStep(inputs, lambda: print("run"))
