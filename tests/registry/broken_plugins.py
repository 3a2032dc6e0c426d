"""Puts the broken distributions of `dists` on the path of the Python that runs this, for the environment `broken` of tox.

They stay there, as if they had been installed. Left out are those that work, which would be others' names in the tests, and
those that no program survives that looks at what is installed, pytest among them.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

DISTS = Path(__file__).parent / "dists"
LEFT_OUT = {"classes", "strings", "chatty", "damaged_entry_points", "interrupt"}

if __name__ == "__main__":
    assert {path.name for path in DISTS.iterdir()} >= LEFT_OUT
    broken = sorted(str(path) for path in DISTS.iterdir() if path.name not in LEFT_OUT)
    target = Path(sysconfig.get_path("purelib")) / "broken_plugins.pth"
    target.write_text("\n".join(broken) + "\n", encoding="utf-8")
