"""What is compared with has to be there: `tox -e parity` installs it, and without it these tests are left out."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("pytorch_metric_learning") else ["test_*.py"]
