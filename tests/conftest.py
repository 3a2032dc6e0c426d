"""One thread, here and in the processes that tests start.

On tensors as small as the tests', threads cost more in waiting for each other than they do in work; and runs that are
compared with each other must add in the same order.
"""

from __future__ import annotations

import os

import pytest
import torch

from tests.checks import Recorder

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-checks", action="store_true", help="write docs/checks.json; see tests/checks.py")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder())
