"""An exception of 3 MB."""

raise RuntimeError("x" * 3_000_000)
