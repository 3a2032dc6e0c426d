"""Ends the process when imported."""

raise SystemExit("no licence")
