"""Machine: what measurements were made on."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """A machine and what runs on it.

    Args:
        name: the CPU's model and the number of cores, or the GPU's name.
        threads: of torch on the CPU.
        python: its version.
        torch: its version.
        metricreg: its version.
        date: the day, as in 2026-01-31.
    """

    name: str
    threads: int
    python: str
    torch: str
    metricreg: str
    date: str

    @classmethod
    def here(cls, device: str = "cpu") -> Machine:
        """The one that runs, today."""
        import torch

        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu()
        today = datetime.now(timezone.utc).date().isoformat()
        versions = (platform.python_version(), torch.__version__, version("metricreg"))
        return cls(name, torch.get_num_threads(), *versions, today)

    @property
    def slug(self) -> str:
        """The name in a file's name."""
        return slug(self.name)

    def as_json(self) -> dict[str, str | int]:
        """The same as plain data."""
        return asdict(self)


def slug(name: str) -> str:
    """The name of a machine in the name of a file: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")


def cpu() -> str:
    """The model and the number of cores, such as `Intel(R) Xeon(R) Processor, 2 cores`."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:  # not Linux
        pass
    model = model or platform.processor() or platform.machine()
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return f"{model}, {cores} core{'s' * (cores > 1)}"
