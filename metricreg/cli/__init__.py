"""The command line: what is installed, what a spec says and takes, and training from an experiment file.

A file is a command, or a few that belong together: its options, and what it prints. `app` has them all, and `errors`
around each. What a command does is asked of another room, which is imported when the command runs, so that listing
components needs no torch.
"""

from metricreg.cli.app import app, run

__all__ = ["app", "run"]
