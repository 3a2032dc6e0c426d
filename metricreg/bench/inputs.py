"""Inputs: the batch that a measurement is made on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from metricreg.errors import InputError

DTYPES = ("float32", "float64", "bfloat16", "float16")
SMALL = 64
"""Samples that are enough to import, allocate and start whatever a first step starts."""
LARGEST = 2**24


@dataclass(frozen=True)
class Inputs:
    """Random embeddings and labels, the same ones for the same arguments.

    Args:
        batch: N, samples.
        dim: D, features.
        per_class: samples of each class that is in the batch; the last class may have more.
        classes: C, the classes that labels are drawn from, spread over them; as many as are in the batch if None.
        dtype: of the embeddings.
        device: where they are.
        grouped: the samples of a class stand one after the other; in random order if False.
        two_views: a second view of each sample is handed over as reference embeddings, and no labels.
        seed: of the random numbers.
    """

    batch: int
    dim: int = 256
    per_class: int = 4
    classes: int | None = None
    dtype: str = "float32"
    device: str = "cpu"
    grouped: bool = False
    two_views: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "dim", "per_class", "classes"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LARGEST:
                raise InputError(f"{name.replace('_', '-')} is a whole number from 1 to {LARGEST:,}; got {value:,}")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is one of {', '.join(DTYPES)}; got '{self.dtype}'")

    @property
    def present(self) -> int:
        """How many classes are in the batch."""
        return min(max(1, self.batch // self.per_class), self.classes or self.batch)

    @property
    def known(self) -> int:
        """C: how many classes a loss with class vectors has to know."""
        return self.classes or self.present

    def small(self) -> Inputs:
        """Fewer samples of the same kind."""
        return replace(self, batch=min(self.batch, SMALL))

    def check_device(self) -> None:
        """Raise `InputError` unless it is a CPU or a CUDA device on which tensors can be made."""
        import torch

        try:
            if torch.device(self.device).type not in ("cpu", "cuda"):
                raise ValueError("time and memory are measured on cpu and cuda")
            torch.empty(1, device=self.device)
        except Exception as error:  # torch raises AssertionError and RuntimeError for these
            usable = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
            reason = str(error).split("\n")[0]
            raise InputError(
                f"the device '{self.device}' cannot be used here ({reason}); there is {', '.join(usable)}"
            ) from None

    def tensors(self) -> dict[str, Any]:
        """`embeddings [N, D]` and `labels [N]`; with two views `embeddings` and `ref_embeddings [N, D]`."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)

        def rows() -> torch.Tensor:
            made = torch.randn(self.batch, self.dim, generator=generator)
            return made.to(self.device, getattr(torch, self.dtype))

        if self.two_views:
            return {"embeddings": rows(), "ref_embeddings": rows()}
        groups = torch.arange(self.batch) % self.present
        groups = groups.sort().values if self.grouped else groups[torch.randperm(self.batch, generator=generator)]
        return {"embeddings": rows(), "labels": (groups * self.known // self.present).to(self.device)}

    def as_json(self) -> dict[str, Any]:
        """The arguments as plain data."""
        return asdict(self)
