"""The state of torch's random numbers: looked at, put back, and numbers for a part of a step that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def generators(device: torch.device) -> list[torch.Generator]:
    """What is drawn from where tensors are on a device: the CPU's generator, and that of a GPU."""
    found = [torch.default_generator]
    if device.type == "cuda":
        found.append(
            torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
        )
    return found


class RandomState:
    """What torch's generators are about to draw.

    Args:
        device: where the tensors of a step are.
    """

    def __init__(self, device: torch.device) -> None:
        self.generators = generators(device)
        self.states = [generator.get_state() for generator in self.generators]

    @property
    def digest(self) -> str:
        """The same for the same states."""
        found = hashlib.blake2b(digest_size=8)
        for state in self.states:
            found.update(state.numpy().data)
        return found.hexdigest()

    def put_back(self) -> None:
        """Have the generators draw the same again."""
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)

    def replace(self, states: Sequence[Tensor]) -> None:
        """Have the generators draw what others draw."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)

    def changed(self) -> list[bool]:
        """Of each generator, whether it has drawn since."""
        return [
            not torch.equal(generator.get_state(), state)
            for generator, state in zip(self.generators, self.states, strict=True)
        ]


class DrawsByRow:
    """Random numbers that depend on the row a part of a batch starts at, and not on who evaluates which parts before.

    They follow from the state that the generators have now, which moves on in the end, if a part has drawn.

    Args:
        device: where the tensors are.
    """

    def __init__(self, device: torch.device) -> None:
        self.before = RandomState(device)
        self.digest = self.before.digest
        self.drawn = [False] * len(self.before.generators)

    @contextmanager
    def at(self, row: int) -> Iterator[None]:
        """Draw for the part that starts at a row."""
        for generator in self.before.generators:
            seed = hashlib.blake2b(f"{self.digest} {row} {generator.device.type}".encode(), digest_size=7).digest()
            generator.manual_seed(int.from_bytes(seed, "little"))
        seeded = RandomState(self.before.generators[-1].device)
        try:
            yield
        finally:
            self.drawn = [a or b for a, b in zip(self.drawn, seeded.changed(), strict=True)]

    def end(self) -> None:
        """Give the generators back: as they were, or after what was drawn."""
        self.before.put_back()
        for generator, drawn in zip(self.before.generators, self.drawn, strict=True):
            if drawn:
                torch.rand((), generator=generator, device=generator.device)
