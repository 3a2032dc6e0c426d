"""Calls of all sorts under several ranks."""

from __future__ import annotations

import torch

from metricreg.testing.processes import processes
from tests.distributed import calls


def test_copies_threads_compilers_and_checkpoints_make_the_same() -> None:
    for found in processes(2).call(calls.other_calls):
        assert all(found.values()), found


def test_explaining_and_validating_ask_no_other_rank() -> None:
    assert processes(2).call(calls.explained_by_one) == [0, 0]


def test_what_rank_0_loads_all_have() -> None:
    for proxies in processes(2).call(calls.after_loading):
        assert torch.equal(proxies, torch.full((4, 4), 0.5))


def test_a_warning_names_the_line_of_the_caller() -> None:
    for (found,) in processes(2).call(calls.warned_of_one_class):
        assert found.startswith("NothingToLearnWarning")
        assert found.endswith("calls.py")
