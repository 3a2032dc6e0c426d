"""The user pressed Ctrl-C while this was imported."""

raise KeyboardInterrupt
