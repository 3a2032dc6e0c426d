"""Ends the process when imported."""

raise SystemExit(3)
